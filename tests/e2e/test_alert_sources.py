"""A disk that fills, at a real master: the right alert, once, and its end."""

import os
import shutil
import subprocess

import pytest
import yaml

from tests.bed.demo_world import World
from tests.bed.packages import ensure
from tests.bed.places import short_folder
from tests.bed.processes import wait_until
from tests.e2e.test_alerts import docker_at, in_time, story, told
from tests.e2e.test_master_and_link import connected, enrol

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
DISK_BYTES = 24 << 20
LEFT_BYTES = 256 << 10


@pytest.fixture
def disk(tmp_path):
    """A small file system of its own on a loop device."""
    place, image = short_folder(), tmp_path / "disk"
    image.touch()
    os.truncate(image, DISK_BYTES)
    subprocess.run([ensure("e2fsprogs", "mkfs.ext4"), "-q", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)
    place.rmdir()


@pytest.fixture
def world(disk):
    folder = short_folder()
    made = World(folder, f"unix://{folder}/docker.sock")
    made.operator("init", "--host", "127.0.0.1")
    made.start_master()
    yield made
    made.close()
    shutil.rmtree(folder)


def test_a_disk_that_fills_is_one_alert_and_has_its_end(world, disk):
    enrol(world)
    settings = yaml.safe_load(world.config_file.read_text())
    settings["downloads"]["models_dir"] = str(disk / "models")
    settings["metrics"] = {"disk_interval_s": 0.5, "gpu": False}
    world.write_config(settings)
    world.agent.stop()
    world.start_agent()
    connected(world)
    with docker_at(world.folder / "docker.sock"):
        free = os.statvfs(disk)
        (disk / "full").write_bytes(os.urandom(free.f_bavail * free.f_frsize - LEFT_BYTES))
        firing = in_time(told(world, "disk_full", timeout_s=60))
        assert (firing["severity"], firing["labels"]) == ("critical", {"disk": str(disk / "models")})
        (disk / "full").unlink()
        over = told(world, "disk_full", "resolved", 60)
        assert over["fingerprint"] == firing["fingerprint"]
        rows = [row for row in world.operator("alerts")["alerts"] if row["rule"] in {"disk_full", "disk_filling"}]
        assert [row["rule"] for row in rows] == ["disk_full"], "what follows from it was not told"
        assert story(world, "disk_full") == {str(disk / "models"): ["firing", "resolved"]}
        wait_until(lambda: not world.agent_command("alerts")["alerts"], timeout_s=30, what="an empty set")
