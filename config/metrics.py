"""What is measured, and how often."""

from pydantic import Field

from .base import Section


class MetricsSettings(Section):
    """Intervals of the collectors and of the reports to the master. A collector that is late skips, and counts it."""

    host_interval_s: float = Field(
        default=1.0, ge=0.2, le=300.0, description="Between two samples of processors, memory and pressure."
    )
    container_interval_s: float = Field(
        default=5.0,
        ge=0.5,
        le=300.0,
        description="Between two samples of containers, network, disk traffic, the agent.",
    )
    engine_interval_s: float = Field(default=5.0, ge=0.5, le=300.0, description="Between two samples of engines.")
    docker_interval_s: float = Field(default=5.0, ge=0.5, le=300.0, description="Between two questions to Docker.")
    disk_interval_s: float = Field(default=15.0, ge=0.5, le=3_600.0, description="Between two looks at free space.")
    gpu: bool = Field(default=True, description="Measure GPUs where there are any.")
    gpu_interval_s: float = Field(default=1.0, ge=0.2, le=300.0, description="Between two samples of GPUs.")
    gpu_slow_interval_s: float = Field(
        default=15.0, ge=1.0, le=3_600.0, description="Between two samples of what is dear to ask of a GPU."
    )
    page_timeout_s: float = Field(default=2.0, ge=0.1, le=30.0, description="Deadline for an engine's metrics page.")
    disk_timeout_s: float = Field(
        default=10.0, ge=0.5, le=300.0, description="A file system that takes longer is left out until it answers."
    )
    engine_names: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Series of an engine's page for a figure, tried before ours: {waiting: [my_queue_size]}.",
    )
    report_interval_s: float = Field(default=10.0, ge=0.5, le=300.0, description="Between two reports to the master.")
    full_report_every: int = Field(default=6, ge=1, le=100, description="Every so many reports carry all figures.")
    spool_max_bytes: int = Field(
        default=1 << 20,
        ge=0,
        le=1 << 30,
        description="Reports kept in memory while the master is away; the oldest go first.",
    )
    ttft_p95_target_s: float | None = Field(
        default=None, gt=0.0, le=3_600.0, description="Alert above this time to the first token (95th percentile)."
    )
    agent_memory_budget_bytes: int = Field(
        default=64 << 20, ge=1 << 20, le=1 << 40, description="Alert when the agent takes twice this memory."
    )
    agent_cpu_budget_cores: float = Field(
        default=0.05, gt=0.0, le=64.0, description="Alert when the agent takes twice this much of a processor."
    )
    alerts_off: tuple[str, ...] = Field(default=(), description="Alert rules that are not used, by name.")
