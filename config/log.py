"""What is logged, and how much of it is kept."""

from typing import Literal

from pydantic import Field

from .base import Section


class LogSettings(Section):
    """One JSON object a line, in a file that rotates by size and age."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least severity that is written."
    )
    console: bool = Field(default=False, description="Also write readable lines to standard error; for development.")
    file_max_bytes: int = Field(
        default=50 << 20, ge=64 << 10, le=1 << 30, description="Size at which the file is rotated."
    )
    file_max_age_s: float = Field(
        default=86_400.0, ge=60.0, le=31 * 86_400.0, description="Age at which the file is rotated."
    )
    files_kept: int = Field(default=5, ge=1, le=100, description="Rotated files that are kept, compressed.")
    repeat_max_per_min: int = Field(
        default=20, ge=1, le=10_000, description="Equal events a minute before the rest is only counted."
    )
