"""What is logged, how much of it is kept, and where else it goes."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from .base import Section

Level = Literal["debug", "info", "warning", "error"]


class ForwardSettings(Section):
    """One target that gets the log too. A dead one never holds anything up."""

    kind: Literal["syslog", "otlp", "loki"] = Field(description="RFC 5424, OTLP over HTTP as JSON, or Loki's push.")
    address: str = Field(
        max_length=2_048,
        description="tcp://HOST:PORT or tls://HOST:PORT for syslog; http:// or https:// with the path for the others.",
    )
    level: Level = Field(default="info", description="The least severity that is forwarded.")
    ca_file: Path | None = Field(default=None, description="Certificates to trust instead of the system's.")
    token_file: Path | None = Field(default=None, description="File with a token for the Authorization header.")

    @field_validator("address")
    @classmethod
    def _known(cls, address: str) -> str:
        if not address.startswith(("tcp://", "tls://", "http://", "https://")):
            raise ValueError("begins with none of tcp://, tls://, http://, https://")
        return address


class LogSettings(Section):
    """One JSON object a line, in a file that rotates by size and age."""

    level: Level = Field(default="info", description="The least severity that is written.")
    console: bool = Field(default=False, description="Also write readable lines to standard error; for development.")
    file_max_bytes: int = Field(
        default=50 << 20, ge=64 << 10, le=1 << 30, description="Size at which the file is rotated."
    )
    file_max_age_s: float = Field(
        default=86_400.0, ge=60.0, le=31 * 86_400.0, description="Age at which the file is rotated."
    )
    files_kept: int = Field(default=14, ge=1, le=100, description="Rotated files that are kept, compressed.")
    total_max_bytes: int = Field(
        default=256 << 20, ge=1 << 20, le=1 << 40, description="Size of all rotated files together; the oldest go."
    )
    kept_max_age_s: float = Field(
        default=14 * 86_400.0, ge=3_600.0, le=366 * 86_400.0, description="Age at which a rotated file is removed."
    )
    repeat_max_per_min: int = Field(
        default=20, ge=1, le=10_000, description="Equal events a minute before the rest is only counted."
    )
    forward: tuple[ForwardSettings, ...] = Field(default=(), max_length=8, description="Where the log goes too.")
    forward_max_lines: int = Field(
        default=10_000, ge=100, le=1_000_000, description="Lines that wait for a target; the oldest below warnings go."
    )
    forward_max_bytes: int = Field(
        default=8 << 20, ge=64 << 10, le=1 << 30, description="Bytes that wait for a target."
    )
