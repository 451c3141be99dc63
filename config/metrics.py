"""What is measured, and how often."""

from pydantic import Field

from .base import Section


class MetricsSettings(Section):
    """Intervals of the sampler and of the reports to the master."""

    host_interval_s: float = Field(default=5.0, ge=0.5, le=300.0, description="Between two samples of the host.")
    engine_interval_s: float = Field(default=5.0, ge=0.5, le=300.0, description="Between two samples of engines.")
    gpu: bool = Field(default=True, description="Measure GPUs where there are any.")
    gpu_interval_s: float = Field(default=1.0, ge=0.2, le=300.0, description="Between two samples of GPUs.")
    report_interval_s: float = Field(default=10.0, ge=0.5, le=300.0, description="Between two reports to the master.")
    full_report_every: int = Field(default=6, ge=1, le=100, description="Every so many reports carry all figures.")
    page_timeout_s: float = Field(default=2.0, ge=0.1, le=30.0, description="Deadline for an engine's metrics page.")
    ttft_p95_target_s: float | None = Field(
        default=None, gt=0.0, le=3_600.0, description="Alert above this time to the first token (95th percentile)."
    )
    agent_memory_budget_bytes: int = Field(
        default=64 << 20, ge=1 << 20, le=1 << 40, description="Alert when the agent takes twice this memory."
    )
    alerts_off: tuple[str, ...] = Field(default=(), description="Alert rules that are not used, by name.")
