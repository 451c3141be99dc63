"""A machine under a real systemd, in a container: for tests of the unit with everything around it.

Needs an engine that grants SYS_ADMIN, SYS_PTRACE (PrivateUsers= beside ProtectProc= wants it of the first
process) and the host's control groups. The host's network and the engine's socket are shared, so that an
agent in it manages containers beside it, as on a real machine.
"""

import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from docker.errors import DockerException

from tests.bed import docker_engine
from tests.bed.errors import BedError
from tests.bed.processes import wait_until

START_S = 60.0
CALL_S = 60
CGROUPS = "/sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command inside said: exit code and both streams."""

    code: int
    text: str


class SystemdMachine:
    """A running machine; a context manager that removes it."""

    def __init__(self, host: str, image: str, *, mounts: Mapping[Path, tuple[str, str]] | None = None) -> None:
        """Booted. `mounts` are {path of this machine: (path inside, ro or rw)}."""
        self.host = host
        self._stack = contextlib.ExitStack()
        client = self._stack.enter_context(docker_engine.client(host))
        volumes = {str(path): {"bind": bind, "mode": mode} for path, (bind, mode) in (mounts or {}).items()}
        volumes[CGROUPS] = {"bind": CGROUPS, "mode": "rw" if _unified() else "ro"}
        volumes[host.removeprefix("unix://")] = {"bind": "/run/docker.sock", "mode": "rw"}
        self._container = client.containers.run(
            image,
            ["--show-status=false", "--unit=multi-user.target"],
            detach=True,
            cap_add=["SYS_ADMIN", "SYS_PTRACE"],
            security_opt=["apparmor=unconfined", "seccomp=unconfined"],
            cgroupns="host",
            network_mode="host",
            tmpfs={"/run": "mode=755", "/run/lock": "", "/tmp": ""},
            environment={"container": "docker", "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE": "1"},
            volumes=volumes,
        )
        try:
            wait_until(self._booted, timeout_s=START_S, what="the boot of systemd")
            self._join_docker_group()
            self.run("ldconfig")
        except BaseException as error:
            said = self._container.logs().decode(errors="replace")[-2000:]
            self.stop()
            raise BedError("systemd in a container", str(error), f"read what it said:\n{said}") from error

    def _booted(self) -> bool:
        return self.run("systemctl", "is-active", "multi-user.target").text.strip() == "active"

    def _join_docker_group(self) -> None:
        """The group `docker` inside gets the number that owns the socket."""
        number = Path(self.host.removeprefix("unix://")).stat().st_gid
        self.sh(f"sed -i 's/^docker:x:[0-9]*:/docker:x:{number}:/' /etc/group")

    def run(self, *words: str) -> Said:
        """Run a command inside as root."""
        code, output = self._container.exec_run(list(words))
        assert isinstance(output, bytes)
        return Said(code or 0, output.decode(errors="replace"))

    def sh(self, script: str) -> Said:
        """Run a shell script inside as root."""
        return self.run("sh", "-c", script)

    def write(self, path: str, text: str, *, owner: str = "root:root", mode: str = "644") -> None:
        """Write a file inside."""
        directory = path.rpartition("/")[0]
        script = 'mkdir -p "$1" && printf %s "$2" > "$3" && chown "$4" "$3" && chmod "$5" "$3"'
        said = self.run("sh", "-c", script, "write", directory, text, path, owner, mode)
        if said.code:
            raise BedError(path, said.text, "see the script")

    def version(self) -> int:
        """systemd's, such as 252."""
        return int(self.run("systemctl", "--version").text.split()[1])

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit, as systemctl show prints them."""
        said = self.run("systemctl", "show", unit, *(f"--property={name}" for name in names))
        return dict(line.split("=", 1) for line in said.text.splitlines() if "=" in line)

    def main_pid(self, unit: str) -> int:
        """Its main process, as numbered inside; 0 when it has none."""
        return int(self.show(unit, "MainPID")["MainPID"])

    def wait_for(self, unit: str, wanted: Mapping[str, str], *, timeout_s: float = 60.0) -> dict[str, str]:
        """All properties match their patterns; BedError with the journal when the time is over."""
        seen: dict[str, str] = {}
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            seen = self.show(unit, *wanted)
            if all(re.fullmatch(pattern, seen.get(name, "")) for name, pattern in wanted.items()):
                return seen
            time.sleep(0.1)
        raise BedError(f"{unit} with {dict(wanted)}", f"it has {seen}", f"read:\n{self.journal(unit)[-3000:]}")

    def journal(self, unit: str) -> str:
        """All that the unit, and systemd about it, wrote."""
        return self.run("journalctl", "--no-pager", "--output=short-monotonic", "--unit", unit).text

    def stop(self) -> None:
        """Remove the machine."""
        with contextlib.suppress(DockerException):
            self._container.remove(force=True, v=True)
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _unified() -> bool:
    """Whether this machine has the unified control groups (version 2) only."""
    return Path(CGROUPS, "cgroup.controllers").exists()
