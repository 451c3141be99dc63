"""A container as it will be asked for: plain data, hardened whatever the kind. Pure.

Every engine runs without capabilities, without new privileges, with a read-only root, process and memory limits,
an init, no health check of its image, and its model read-only; nothing of that can be asked away.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

LABEL_AGENT = "mosalama.agent"
LABEL_ENGINE = "mosalama.engine"
LABEL_GENERATION = "mosalama.generation"
LABEL_COMMAND = "mosalama.cmd"
LABEL_SPEC = "mosalama.spec"
LABEL_PORT = "mosalama.port"
NAME_PREFIX = "mosalama"
NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Mount:
    """A directory of the host, read-only unless it is a cache."""

    source: str
    target: str
    read_only: bool = True


@dataclass(frozen=True, slots=True)
class ContainerRequest:
    """Everything of one container that differs between kinds and specs; the hardening is added by `docker_body`."""

    name: str
    image: str
    argv: tuple[str, ...]
    port: int
    """Inside the container."""
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    user: str | None = None
    tmpfs: Mapping[str, str] = field(default_factory=dict)
    shm_bytes: int = 64 << 20
    memory_bytes: int = 0
    cpus: float = 0.0
    pids_max: int = 4_096
    gpus: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    """Only what a variant of a kind needs by itself (ROCm), never what a command asks for."""
    groups: tuple[str, ...] = ()
    publish_address: str = "127.0.0.1"
    publish_port: int = 0
    log_max_bytes: int = 10 << 20
    log_files: int = 3
    stop_s: int = 10
    labels: Mapping[str, str] = field(default_factory=dict)

    def spec_hash(self) -> str:
        """Names what would run, whatever its name, port and labels are."""
        bare = replace(self, name="", publish_port=0, labels={})
        text = json.dumps(docker_body(bare), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def docker_body(request: ContainerRequest) -> dict[str, Any]:
    """The body of `POST /containers/create` (Docker Engine API 1.41)."""
    port = f"{request.port}/tcp"
    visible = ",".join(request.gpus) or "void"
    env = {**request.env, "NVIDIA_VISIBLE_DEVICES": visible}
    if request.gpus:
        env["NVIDIA_DRIVER_CAPABILITIES"] = "compute,utility"
    return {
        "Image": request.image,
        "Cmd": list(request.argv),
        "Env": [f"{key}={value}" for key, value in sorted(env.items())],
        "User": request.user or "",
        "ExposedPorts": {port: {}},
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": dict(sorted(request.labels.items())),
        "StopTimeout": request.stop_s,
        "HostConfig": {
            "Binds": [f"{mount.source}:{mount.target}:{'ro' if mount.read_only else 'rw'}" for mount in request.mounts],
            "PortBindings": {port: [{"HostIp": request.publish_address, "HostPort": str(request.publish_port)}]},
            "RestartPolicy": {"Name": "no"},
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "Tmpfs": dict(request.tmpfs),
            "ShmSize": request.shm_bytes,
            "Memory": request.memory_bytes,
            "MemorySwap": request.memory_bytes,
            "NanoCpus": int(request.cpus * NANO),
            "PidsLimit": request.pids_max,
            "Init": True,
            "IpcMode": "private",
            "OomScoreAdj": 500,
            "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
            "LogConfig": {
                "Type": "json-file",
                "Config": {"max-size": str(request.log_max_bytes), "max-file": str(request.log_files)},
            },
            "Devices": [
                {"PathOnHost": device, "PathInContainer": device, "CgroupPermissions": "rw"}
                for device in request.devices
            ],
            "GroupAdd": list(request.groups),
            "DeviceRequests": [
                {"Driver": "", "Count": 0, "DeviceIDs": list(request.gpus), "Capabilities": [["gpu"]], "Options": {}}
            ]
            if request.gpus
            else [],
        },
    }
