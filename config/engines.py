"""How this machine runs engines."""

from ipaddress import IPv4Address
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from .base import Section


class EnginesSettings(Section):
    """The Docker Engine, the ports, and how patient the agent is with both."""

    docker_host: Annotated[str, StringConstraints(pattern=r"^(unix:///|tcp://127\.0\.0\.1:)\S+$")] = Field(
        default="unix:///var/run/docker.sock", description="Where the Docker Engine answers."
    )
    publish_address: IPv4Address = Field(
        default=IPv4Address("127.0.0.1"), description="Address on which engines are published."
    )
    port_min: int = Field(default=18_000, ge=1_024, le=65_535, description="First port that engines may get.")
    port_max: int = Field(default=18_999, ge=1_024, le=65_535, description="Last port that engines may get.")
    engines_max: int = Field(default=64, ge=1, le=1_000, description="Engines at a time.")
    docker_timeout_s: float = Field(default=30.0, ge=1.0, le=600.0, description="Deadline of one call to Docker.")
    pull_inactivity_s: float = Field(
        default=300.0, ge=5.0, le=3_600.0, description="A pull of an image without progress for this long has failed."
    )
    memory_default_bytes: int = Field(
        default=0, ge=0, le=1 << 50, description="Memory limit of an engine that asks for none; 0: no limit."
    )
    shm_default_bytes: int = Field(
        default=1 << 30, ge=1 << 20, le=1 << 40, description="Shared memory of an engine that asks for none."
    )
    pids_max: int = Field(default=4_096, ge=16, le=1 << 22, description="Processes and threads of one engine.")
    log_max_bytes: int = Field(default=10 << 20, ge=1 << 16, le=1 << 34, description="Size of one engine's log.")
    log_files: int = Field(default=3, ge=1, le=100, description="Files of one engine's log.")

    stall_s: float = Field(
        default=120.0,
        ge=0.5,
        le=3_600.0,
        description="An engine with requests and without a new token for this long is asked for one; none: it hangs.",
    )
    canary_s: float = Field(
        default=300.0,
        ge=0.0,
        le=86_400.0,
        description="An engine that nobody asks for this long is asked for one token; 0: never.",
    )
    canary_timeout_s: float = Field(
        default=30.0, ge=0.1, le=600.0, description="How long an engine may take for that one token."
    )
    drain_s: float = Field(
        default=30.0,
        ge=0.0,
        le=3_600.0,
        description="How long requests may go on in an engine whose place another one has taken.",
    )
    prove_s: float = Field(
        default=5.0,
        ge=0.0,
        le=600.0,
        description="How long a new version must be healthy beside the old one before it takes its place.",
    )
    orphan_grace_s: float = Field(
        default=300.0,
        ge=1.0,
        le=86_400.0,
        description="A container of this agent that nobody wants is ended after this long.",
    )

    @model_validator(mode="after")
    def _agrees(self) -> "EnginesSettings":
        if self.port_max < self.port_min:
            raise ValueError("port_max is below port_min")
        return self
