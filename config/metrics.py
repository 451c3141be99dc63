"""What is measured, and how often."""

from pydantic import Field

from .base import Section


class MetricsSettings(Section):
    """Intervals of the sampler and of the reports to the master."""

    host_interval_s: float = Field(default=5.0, ge=0.5, le=300.0, description="Between two samples of the host.")
    engine_interval_s: float = Field(default=5.0, ge=0.5, le=300.0, description="Between two samples of engines.")
    gpu: bool = Field(default=True, description="Measure NVIDIA GPUs where there are any.")
    report_interval_s: float = Field(default=10.0, ge=0.5, le=300.0, description="Between two reports to the master.")
    full_report_every: int = Field(default=6, ge=1, le=100, description="Every so many reports carry all figures.")
    page_timeout_s: float = Field(default=2.0, ge=0.1, le=30.0, description="Deadline for an engine's metrics page.")
