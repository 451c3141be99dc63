"""One side is the real one, over TLS; the other says what a test wants. One master serves all of them."""

import re
import shutil
from pathlib import Path

import pytest

from tests.bed.demo_world import World
from tests.bed.places import short_folder
from tests.fakes.hostile_master import AgentUnderTest, HostileMaster, make_certificates
from tests.fakes.raw_agent import Door


@pytest.fixture(scope="session")
def hostile_folder(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def attack(hostile_folder, tmp_path):
    """`attack(**settings)` -> a hostile master and an agent that comes to it."""
    made = []

    def begin(**settings):
        master = HostileMaster(hostile_folder)
        settings.pop("attacker", []).append(master)
        for name in ("keyset", "link", "received_offset", "now_ms", "handshake"):
            if name in settings:
                setattr(master, name, settings.pop(name))
        agent = AgentUnderTest(tmp_path, master.port, hostile_folder / "ca.pem", **settings)
        made.append((agent, master))
        return master, agent

    yield begin
    for agent, master in made:
        agent.close()
        master.close()


class Wild:
    """A running reference master and what it wrote."""

    def __init__(self, *, init_options=()):
        self.folder = short_folder()
        self.world = World(self.folder, "unix:///nowhere/docker.sock")
        self.world.operator("init", "--host", "127.0.0.1", *init_options)

    def start(self):
        self.world.start_master()
        return self

    @property
    def door(self):
        return Door(self.world.port, self.world.master_dir / "ca.pem")

    def ask(self, method, path, body=None):
        from actors.master.client import ask

        return ask(self.world.master_dir, method, path, body)

    def token(self, **scope):
        return self.ask("POST", "/v1/tokens", {"ttl_s": 600, "uses": 1, "note": ""} | scope)["token"]

    def agent(self, **given):
        status, agent = self.door.enrol(self.token(), **given)
        assert status == 200, agent
        return agent

    def refused(self):
        return self.ask("GET", "/v1/status")["refused"]

    def events(self, kind):
        return [event for event in self.ask("GET", "/v1/events?limit=10000")["events"] if event["kind"] == kind]

    @property
    def log(self):
        return (self.folder / "master.log").read_text()

    def rss_kib(self):
        status = Path(f"/proc/{self.world.master.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    def close(self):
        self.world.close()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="session")
def wild():
    made = Wild().start()
    yield made
    made.close()
