"""How this machine brings and keeps models."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from .base import Section

CREDENTIAL_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
Host = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:\[\]-]{1,253}$")]


Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]*[^\s?#/]$", max_length=2_048)]


class CredentialSettings(Section):
    """One credential of this machine: a name, the file that holds it, and the only hosts that may see it."""

    name: Annotated[str, StringConstraints(pattern=CREDENTIAL_PATTERN)]
    file: Path
    hosts: Annotated[tuple[Host, ...], Field(min_length=1, max_length=16)]


class DownloadsSettings(Section):
    """The model store, the hub, and the bounds of transfers."""

    models_dir: Path = Field(default=Path("/var/lib/mosalamaagent/models"), description="The model store.")
    hub_url: Address = Field(default="https://huggingface.co", description="The hub, or a mirror of it.")
    hub_mirrors: tuple[Address, ...] = Field(
        default=(),
        max_length=8,
        description="More hubs with the same files; asked when the first does not answer, never with its token.",
    )
    hub_token_file: Path | None = Field(
        default=None, description="File with the token for private models; it is sent to the hub's host only."
    )
    credentials: tuple[CredentialSettings, ...] = Field(
        default=(),
        max_length=64,
        description="What a command may name as `credential`: a name, a file, and the hosts that may see it.",
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
    free_floor_bytes: int = Field(
        default=1 << 30, ge=0, le=1 << 50, description="Space of the disk that downloads leave free."
    )
    quota_bytes: int | None = Field(
        default=None, ge=0, le=1 << 60, description="What the model store may hold; none: what the disk can give."
    )
    high_percent: float = Field(
        default=85.0, gt=0, le=100, description="Above this share of what the store may hold, unused versions go."
    )
    low_percent: float = Field(default=80.0, ge=0, le=100, description="They go until this share is left.")
    collect_every_s: float = Field(default=300.0, ge=1, le=86_400, description="Between two looks at the space.")
    young_s: float = Field(
        default=600.0, ge=0, le=86_400 * 30, description="A version is not removed so soon after its last use."
    )
    unused_age_s: float | None = Field(
        default=None,
        ge=60,
        le=86_400 * 3_650,
        description="A version that was not used for so long goes even when there is room; none: it stays.",
    )
    partial_age_s: float = Field(
        default=86_400.0 * 7, ge=60, le=86_400 * 365, description="An unfinished download is kept for so long."
    )
    partial_budget_bytes: int = Field(
        default=200 << 30, ge=0, le=1 << 60, description="What unfinished downloads may hold together."
    )
    verify_every_s: float = Field(
        default=86_400.0 * 30,
        ge=0,
        le=86_400 * 3_650,
        description="Each version is read again and compared with its hashes so often; 0: never by itself.",
    )
    verify_bytes_s: int = Field(
        default=64 << 20, ge=1 << 20, le=1 << 40, description="How fast that may read, in bytes a second."
    )

    @model_validator(mode="after")
    def _watermarks(self) -> "DownloadsSettings":
        if self.low_percent > self.high_percent:
            raise ValueError("downloads.low_percent is above downloads.high_percent")
        return self
