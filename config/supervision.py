"""How patient the supervision is with threads, and how much it remembers."""

from pydantic import Field

from .base import Section


class SupervisionSettings(Section):
    """Limits that hold for the whole tree; what concerns one actor is in its child spec."""

    scan_interval_s: float = Field(
        default=0.5, ge=0.01, le=10.0, description="Time between two looks of the watchdog at every actor."
    )
    events_kept: int = Field(default=1000, ge=10, le=100_000, description="Supervision events that are kept.")
    stack_kib: int = Field(default=512, ge=64, le=65_536, description="Stack of each thread.")
    task_join_s: float = Field(
        default=2.0, ge=0.0, le=60.0, description="Time that the tasks of an ending actor have to return."
    )
    reap_max_s: float = Field(
        default=10.0, ge=0.1, le=300.0, description="Time that each child of a failed supervisor has to stop."
    )
    abandoned_total_max: int = Field(
        default=8, ge=1, le=1000, description="Threads left behind at which the process ends with code 71."
    )
    abandoned_path_max: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="Threads of one actor left behind within the window, for code 71.",
    )
    abandoned_critical_max: int = Field(default=2, ge=1, le=1000, description="The same for a critical actor.")
    abandoned_window_s: float = Field(
        default=3600.0,
        ge=1.0,
        le=86_400.0,
        description="How long a thread left behind counts against its actor.",
    )
