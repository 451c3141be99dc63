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
    stops_window_s: float = Field(
        default=60.0, ge=1.0, le=3_600.0, description="Engines stopped within this time are counted together."
    )
    stops_unconfirmed_max: int = Field(
        default=3, ge=1, le=1_000, description="So many engines may be stopped in that time without a confirmation."
    )
    stops_unconfirmed_share: float = Field(
        default=0.5, ge=0.0, le=1.0, description="Or this part of all that ran, where it is more."
    )
    retry_s: float = Field(
        default=1.0, ge=0.05, le=60.0, description="Between two tries to write when the disk refuses."
    )
