"""How much the journal keeps."""

from pydantic import Field

from .base import Section


class JournalSettings(Section):
    """What is durable on this machine, and its bounds."""

    outbox_rows_max: int = Field(
        default=50_000,
        ge=100,
        le=10_000_000,
        description="Messages that may wait for the master; beyond it old events go and commands are refused as busy.",
    )
    outbox_bytes_max: int = Field(
        default=64 * 1_048_576, ge=1_048_576, le=1 << 40, description="The same bound in bytes of their contents."
    )
    ledger_kept_s: float = Field(
        default=7 * 86_400.0, ge=86_400.0, le=365 * 86_400.0, description="Time that an ended command is remembered."
    )
    ledger_rows_kept: int = Field(
        default=100_000, ge=1_000, le=10_000_000, description="Ended commands that are remembered whatever their age."
    )
    retry_s: float = Field(
        default=1.0, ge=0.05, le=60.0, description="Between two tries to write when the disk refuses."
    )
