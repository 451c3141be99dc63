"""A Docker Engine that a test may freeze, kill and fill: ours alone, with containers that outlive it."""

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

from tests.bed import docker_engine
from tests.bed.places import LOGS, short_folder
from tests.bed.processes import wait_until

DATA_MIB = 400


class OwnDockerd:
    """Its data lie in a file system of DATA_MIB in memory; `kill` leaves its containers running."""

    def __init__(self):
        self.folder = short_folder()
        self.data = self.folder / "data"
        self.data.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DATA_MIB}m", "tmpfs", self.data], check=True)
        self.bridge = docker_engine._make_bridge()
        self.host = f"unix://{self.folder}/docker.sock"
        LOGS.mkdir(parents=True, exist_ok=True)
        self.log = LOGS / f"own-dockerd-{os.getpid()}.log"
        self.start()

    def start(self):
        command = docker_engine._command(shutil.which("dockerd"), self.folder, self.data, self.bridge)
        # Not a child of ours: a test may end it and start another, and only what a test leaves behind is a leftover.
        line = shlex.join([*map(str, command), "--live-restore"])
        subprocess.run(["sh", "-c", f"setsid {line} >>{self.log} 2>&1 &"], check=True)
        wait_until(lambda: docker_engine.answers(self.host), timeout_s=60, what="the Docker API")

    @property
    def pid(self):
        return int(Path(self.folder, "pid").read_text())

    def freeze(self):
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.pid, signal.SIGCONT)

    def kill(self):
        """With it goes its containerd, by the kernel; the containers stay."""
        held, pid = self._containerd(), self.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{held}/exe").exists(), timeout_s=20, what="containerd is gone")
        wait_until(lambda: not Path(f"/proc/{pid}/exe").exists(), timeout_s=20, what="dockerd is gone")
        Path(self.folder, "pid").unlink()
        Path(self.folder, "exec/containerd/containerd.pid").unlink()  # where nobody reaps it, it would look alive

    def _containerd(self):
        return int(Path(self.folder, "exec/containerd/containerd.pid").read_text())

    def close(self):
        with contextlib.suppress(Exception):
            self.thaw()
        with contextlib.suppress(Exception):
            docker_engine.remove_everything(self.host)
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGTERM)
        wait_until(lambda: not docker_engine.answers(self.host), timeout_s=30, what="dockerd is gone")
        with contextlib.suppress(OSError, ValueError):
            os.kill(self._containerd(), signal.SIGTERM)
        subprocess.run(["ip", "link", "del", self.bridge], check=False)
        subprocess.run(["sh", "-c", docker_engine.UNMOUNT, "unmount", self.folder, self.data], check=True)
        subprocess.run(["umount", "-l", self.data], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)
