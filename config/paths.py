"""Where the daemon keeps what it needs."""

from pathlib import Path

from pydantic import Field

from .base import Section


class PathsSettings(Section):
    """Directories of the daemon; all are made with mode 0700 when absent."""

    state_dir: Path = Field(
        default=Path("/var/lib/mosalamaagent"), description="Identity, journal and other durable state."
    )
    run_dir: Path = Field(default=Path("/run/mosalamaagent"), description="The control socket.")
    log_dir: Path = Field(default=Path("/var/log/mosalamaagent"), description="The rotating log file.")
