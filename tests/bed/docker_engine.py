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
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

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
NETWORK_POOL = "base=172.30.0.0/16,size=24"


def answers(host: str) -> bool:
    """Whether a Docker Engine answers there within five seconds."""
    with (
        contextlib.suppress(DockerException, OSError),
        contextlib.closing(docker.DockerClient(base_url=host, timeout=ANSWER_S)) as client,
    ):
        return bool(client.ping())
    return False


@dataclass(frozen=True)
class DockerEngine:
    """An engine that answers. `host` is what DOCKER_HOST wants; `owned` is true when the bed started it."""

    host: str
    program: Program | None = None

    @classmethod
    def open(cls) -> Self:
        """DOCKER_HOST if it is set, else the default socket, else our own. BedError where none can be had."""
        named = os.environ.get("DOCKER_HOST")
        if named:
            return cls._named(named)
        if answers(DEFAULT_SOCKET):
            return cls(DEFAULT_SOCKET)
        return cls.start()

    @classmethod
    def _named(cls, host: str) -> Self:
        if not host.startswith("unix://"):
            raise BedError(
                f"DOCKER_HOST={host}",
                "tests reach engines on 127.0.0.1, so the Docker Engine must be on this machine",
                "set it to unix:///path/of/docker.sock, or unset it",
            )
        if not answers(host):
            raise BedError(
                f"DOCKER_HOST={host}",
                "no Docker Engine answers there",
                "start that engine, or unset DOCKER_HOST",
            )
        return cls(host)

    @classmethod
    def start(cls) -> Self:
        """One of our own. Needs root; installs Debian's docker.io when dockerd is absent."""
        _need_root()
        dockerd = _installed()
        if dockerd is None:  # installing it started the distribution's own service
            return cls(DEFAULT_SOCKET)
        short = short_folder()
        data, held = _data_root(short)
        bridge = _make_bridge()
        say(f"starting a Docker Engine of its own: socket {short}/docker.sock, data {data}, bridge {bridge}")
        program = Program(
            "dockerd",
            _command(dockerd, short, data, bridge),
            cleanup=[["ip", "link", "del", bridge], ["rm", "-rf", "--one-file-system", str(short)]],
            grace_s=STOP_S,
            keep_open=[held],
        )
        os.close(held)
        engine = cls(f"unix://{short}/docker.sock", program)
        try:
            program.wait_until(lambda: answers(engine.host), timeout_s=START_S, what="the Docker API")
            engine.remove_containers()
        except BaseException:
            program.stop()
            raise
        return engine

    @property
    def owned(self) -> bool:
        """Whether it ends with us."""
        return self.program is not None

    @property
    def socket(self) -> Path:
        """Path of its unix socket."""
        return Path(self.host.removeprefix("unix://"))

    @contextlib.contextmanager
    def client(self) -> Iterator[docker.DockerClient]:
        """A client of the SDK, closed afterwards."""
        with contextlib.closing(docker.DockerClient(base_url=self.host, timeout=CALL_S)) as client:
            yield client

    def environment(self) -> dict[str, str]:
        """This process's environment with DOCKER_HOST set to this engine, for programs that are started."""
        return dict(os.environ, DOCKER_HOST=self.host)

    def containers(self) -> list[str]:
        """Names of all containers, running or not."""
        with self.client() as client:
            return [container.name or container.id for container in client.containers.list(all=True)]

    def remove_containers(self) -> None:
        """Every container and user-made network of an engine that is ours alone; refused on any other."""
        if not self.owned:
            raise BedError(self.host, "it is not the bed's own", "remove containers there by their names")
        with self.client() as client:
            for container in client.containers.list(all=True):
                container.remove(force=True, v=True)
            client.networks.prune()

    def stop(self) -> None:
        """End our own engine, its containers, its bridge; nothing for an engine that was there before."""
        if self.program is not None:
            with contextlib.suppress(DockerException, OSError):
                self.remove_containers()
            self.program.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _need_root() -> None:
    if os.geteuid() != 0:
        raise BedError(
            "Docker Engine",
            f"none answers at {DEFAULT_SOCKET} for this user, and only root can start one",
            "run as root, or start Docker and join its group (usermod -aG docker $USER, then log in anew), "
            "or set DOCKER_HOST to one that you may use",
        )


def _installed() -> str | None:
    """Path of dockerd; None when installing it has started an engine at the default socket."""
    present = packages.find("dockerd") is not None
    packages.ensure("iproute2", "ip")
    dockerd = packages.ensure("docker.io", "dockerd")
    if not present and Path("/run/systemd/system").exists():
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: answers(DEFAULT_SOCKET), timeout_s=START_S, what="the new Docker service")
            return None
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
    raise BedError(
        "bridge", f"no free name and subnet in {SUBNETS[0]} to {SUBNETS[-1]}", "ip link del mosbed0"
    )


def _added(name: str) -> bool:
    """Whether the bridge is ours: false when another run was faster."""
    made = subprocess.run(
        ["ip", "link", "add", name, "type", "bridge"], check=False, capture_output=True, text=True
    )
    if made.returncode and "exists" not in made.stderr:
        raise BedError(
            f"bridge {name}", made.stderr.strip(), "give this user CAP_NET_ADMIN (root in a real machine)"
        )
    return made.returncode == 0


def _ip(words: Sequence[str]) -> list[dict]:
    said = subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=10).stdout
    return json.loads(said) if said.strip() else []
