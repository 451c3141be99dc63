"""A Docker Engine for tests: the one that answers on this machine, or one of our own.

Our own has its own socket, data root, exec root, process id file and bridge, publishes ports through its
proxy only and writes no firewall rule, so that nothing of it is left on the machine. Its data root
(.bed/docker) is kept: the images in it are a cache.
"""

import contextlib
import fcntl
import ipaddress
import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import docker
from docker.errors import DockerException

from tests.bed import packages
from tests.bed.errors import BedError
from tests.bed.places import folder, say, short_folder
from tests.bed.processes import Program, wait_until

DEFAULT_SOCKET = "unix:///var/run/docker.sock"
ANSWER_S = 5
CALL_S = 60
START_S = 60.0
STOP_S = 20.0
SUBNETS = tuple(ipaddress.ip_network(f"172.31.{third}.0/24") for third in range(201, 255))
UNMOUNT = """
while read -r _ point _; do
    case "$point" in "$1"/*|"$2"/*) umount -l "$point";; esac
done < /proc/mounts
"""
"""dockerd leaves the host's network name space mounted, and all its mounts when it is killed."""
NETWORK_POOL = "base=172.30.0.0/16,size=24"


def answers(host: str) -> bool:
    """Whether a Docker Engine answers at unix://PATH within five seconds."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(ANSWER_S)
        asked.connect(host.removeprefix("unix://"))
        asked.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in asked.recv(64)
    return False


class DockerEngine:
    """An engine that answers; `host` is what DOCKER_HOST wants. A context manager: stops what it started."""

    def __init__(self, *, own: bool = False) -> None:
        """DOCKER_HOST if it is set, else the default socket, else our own; `own`: our own in any case.

        Our own needs root, and installs Debian's docker.io when dockerd is absent. BedError: none to be had.
        """
        self.program: Program | None = None
        named = None if own else os.environ.get("DOCKER_HOST")
        if named:
            self.host = _named(named)
        elif not own and answers(DEFAULT_SOCKET):
            self.host = DEFAULT_SOCKET
        else:
            self.host, self.program = _started(own=own)

    @property
    def owned(self) -> bool:
        """Whether it ends with us."""
        return self.program is not None

    @property
    def socket(self) -> Path:
        """Path of its unix socket."""
        return Path(self.host.removeprefix("unix://"))

    def client(self) -> AbstractContextManager[docker.DockerClient]:
        """A client of the SDK, closed afterwards."""
        return client(self.host)

    def environment(self) -> dict[str, str]:
        """This process's environment with DOCKER_HOST set to this engine, for programs that are started."""
        return dict(os.environ, DOCKER_HOST=self.host)

    def containers(self) -> list[str]:
        """Names of all containers, running or not."""
        with self.client() as client:
            return [str(container.name) for container in client.containers.list(all=True)]

    def stop(self) -> None:
        """End our own engine, its containers, its bridge; nothing for an engine that was there before."""
        if self.program is not None:
            with contextlib.suppress(DockerException, OSError):
                remove_everything(self.host)
            self.program.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _named(host: str) -> str:
    """DOCKER_HOST, when an engine of this machine answers there."""
    if not host.startswith("unix://"):
        raise BedError(
            f"DOCKER_HOST={host}",
            "tests reach engines on 127.0.0.1, so the Docker Engine must be on this machine",
            "set it to unix:///path/of/docker.sock, or unset it",
        )
    if not answers(host):
        raise BedError(
            f"DOCKER_HOST={host}", "no Docker Engine answers there", "start that engine, or unset DOCKER_HOST"
        )
    return host


def _started(*, own: bool) -> tuple[str, Program | None]:
    """(host, program) of our own engine; without a program when installing it started the default one."""
    _need_root()
    dockerd = _installed()
    if not own and answers(DEFAULT_SOCKET):
        return DEFAULT_SOCKET, None
    short = short_folder()
    data, held = _data_root(short)
    bridge = _make_bridge()
    host = f"unix://{short}/docker.sock"
    say(f"starting a Docker Engine of its own: {host}, data {data}, bridge {bridge}")
    program = Program(
        "dockerd",
        _command(dockerd, short, data, bridge),
        cleanup=[
            ["ip", "link", "del", bridge],
            ["sh", "-c", UNMOUNT, "unmount", str(short), str(data)],
            ["rm", "-rf", "--one-file-system", str(short)],
        ],
        grace_s=STOP_S,
        keep_open=[held],
    )
    os.close(held)
    try:
        program.wait_until(lambda: answers(host), timeout_s=START_S, what="the Docker API")
        remove_everything(host)
    except BaseException:
        program.stop()
        raise
    return host, program


def remove_everything(host: str) -> None:
    """Every container and unused network of an engine: only for one that is ours alone."""
    with client(host) as engine:
        for container in engine.containers.list(all=True):
            container.remove(force=True, v=True)
        engine.networks.prune()


@contextlib.contextmanager
def client(host: str) -> Iterator[docker.DockerClient]:
    """A client of the SDK, closed afterwards."""
    with contextlib.closing(docker.DockerClient(base_url=host, timeout=CALL_S)) as opened:
        yield opened


def _need_root() -> None:
    if os.geteuid() != 0:
        raise BedError(
            "Docker Engine",
            f"none answers at {DEFAULT_SOCKET} for this user, and only root can start one",
            "run as root, or start Docker and join its group (usermod -aG docker $USER, then log in anew), "
            "or set DOCKER_HOST to one that you may use",
        )


def _installed() -> str:
    """Path of dockerd. Where installing it started the distribution's service, that is waited for."""
    present = packages.find("dockerd") is not None
    packages.ensure("iproute2", "ip")
    dockerd = packages.ensure("docker.io", "dockerd")
    if not present and Path("/run/systemd/system").exists():
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: answers(DEFAULT_SOCKET), timeout_s=START_S, what="the new Docker service")
    return dockerd


def _command(dockerd: str, short: Path, data: Path, bridge: str) -> list[str]:
    return [
        dockerd,
        f"--host=unix://{short}/docker.sock",
        f"--data-root={data}",
        f"--exec-root={short}/exec",
        f"--pidfile={short}/pid",
        f"--bridge={bridge}",
        "--iptables=false",
        "--ip-forward=false",
        "--ip-masq=false",
        f"--default-address-pool={NETWORK_POOL}",
        "--shutdown-timeout=5",
    ]


def _data_root(short: Path) -> tuple[Path, int]:
    """The kept data root and its lock's descriptor; a throw-away one while another run holds that lock."""
    held = os.open(folder("docker") / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return short / "data", held
    return folder("docker", "data"), held


def _make_bridge() -> str:
    """A new bridge with an address in a subnet that this machine does not use; its name."""
    used = {link["ifname"]: link for link in _ip(["-j", "addr"])}
    taken = [
        ipaddress.ip_network(f"{address['local']}/{address['prefixlen']}", strict=False)
        for link in used.values()
        for address in link["addr_info"]
        if address["family"] == "inet"
    ]
    for index, subnet in enumerate(SUBNETS):
        name = f"mosbed{index}"
        if name in used or any(subnet.overlaps(one) for one in taken):
            continue
        if _added(name):
            _ip(["addr", "add", f"{subnet[1]}/24", "dev", name])
            _ip(["link", "set", name, "up"])
            return name
    raise BedError("bridge", f"no free name and subnet in {SUBNETS[0]} to {SUBNETS[-1]}", "ip link del mosbed0")


def _added(name: str) -> bool:
    """Whether the bridge is ours: false when another run was faster."""
    made = subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=False, capture_output=True, text=True)
    if made.returncode and "exists" not in made.stderr:
        raise BedError(f"bridge {name}", made.stderr.strip(), "give this user CAP_NET_ADMIN (root in a real machine)")
    return made.returncode == 0


def _ip(words: Sequence[str]) -> list[dict[str, Any]]:
    said = subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=10).stdout
    return json.loads(said) if said.strip() else []
