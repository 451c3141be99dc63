"""How this machine brings and keeps models."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from .base import Section

Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:\[\]-]{1,253}$")]


class DownloadsSettings(Section):
    """The model store, the hub, and the bounds of transfers."""

    models_dir: Path = Field(default=Path("/var/lib/mosalamaagent/models"), description="The model store.")
    hub_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+$")] = Field(
        default="https://huggingface.co", description="The hub, or a mirror of it."
    )
    hub_token_file: Path | None = Field(
        default=None, description="File with the token for private models; it is sent to the hub's host only."
    )
    allow_private_hosts: tuple[Host, ...] = Field(
        default=(),
        max_length=64,
        description="Hosts on private or loopback addresses that may be asked; none by default.",
    )
    transfers_max: int = Field(default=2, ge=1, le=64, description="Transfers at a time.")
    connections: int = Field(
        default=16, ge=1, le=16, description="Most connections of one transfer; as many are used as bring more."
    )
    rate_max_bytes_s: int | None = Field(
        default=None,
        ge=64 << 10,
        le=1 << 40,
        description="Most bytes a second of all transfers together; none: no cap.",
    )
    hours: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")] | None = (
        Field(default=None, description="Local hours in which transfers run, such as 22:00-06:00; none: always.")
    )
    read_timeout_s: float = Field(
        default=30.0, ge=1.0, le=600.0, description="Without a byte for this long a connection has failed."
    )
    tries: int = Field(default=8, ge=1, le=100, description="Tries without progress before a transfer has failed.")
    free_floor_bytes: int = Field(default=1 << 30, ge=0, le=1 << 50, description="Space that a download leaves free.")
