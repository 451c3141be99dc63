"""Writes docs/metrics.md from the table of figures: `python -m tests.actors.metrics_document > docs/metrics.md`."""

from actors.figures import PREFIX, ROOMS
from actors.metrics.cgroup import SLOW_LOOKS
from config.metrics import MetricsSettings

HEAD = """\
# Metrics

Written from `actors/figures.py` by `tests/actors/metrics_document.py`; a test keeps it current.

Every figure has one name and goes three ways: in reports to the master and on `/v1/metrics` by the name in the first
column, on the Prometheus page `/metrics` by the one in the second, there in base units. What is not known is absent,
never 0. Nothing is measured when somebody reads: all three show what the collectors last saw.

A report carries what changed, and everything once in {full} reports; a figure that is gone is null once. Names in
reports are `room.subject.figure`, such as `gpu.GPU-1234.power_w` or `host.cpu.busy`. While the master is away reports
are kept, up to {spool} bytes of them, and go first when it is back.

| looked at every | what | setting |
|---|---|---|
| {host:g} s | processors, memory | `metrics.host_interval_s` |
| {gpu:g} s | GPUs | `metrics.gpu_interval_s` |
| {slow:g} s | of a GPU: clocks, ECC, links, fan, programs | `metrics.gpu_slow_interval_s` |
| {container:g} s | containers, load, memory pressure, network, disks, the agent | `metrics.container_interval_s` |
| {third:g} s | other pressure; a container's processes, limit, throttling | each third `metrics.container_interval_s` |
| {engine:g} s | engines' metrics pages | `metrics.engine_interval_s` |
| {docker:g} s | whether Docker answers | `metrics.docker_interval_s` |
| {disk:g} s | free space | `metrics.disk_interval_s` |
| at once | GPU events, Docker events, what engines and the master's link say of themselves | |

A board for Grafana is in [grafana/mosalamaagent.json](grafana/mosalamaagent.json), rules for Prometheus in
[prometheus/rules.yml](prometheus/rules.yml). The agent's own alerts are in [alerts.md](alerts.md).
"""


def document() -> str:
    """The whole page."""
    settings = MetricsSettings()
    head = HEAD.format(
        full=settings.full_report_every,
        spool=settings.spool_max_bytes,
        host=settings.host_interval_s,
        gpu=settings.gpu_interval_s,
        slow=settings.gpu_slow_interval_s,
        container=settings.container_interval_s,
        third=settings.container_interval_s * SLOW_LOOKS,
        engine=settings.engine_interval_s,
        docker=settings.docker_interval_s,
        disk=settings.disk_interval_s,
    )
    parts = [head]
    for name, room in ROOMS.items():
        label = f", by `{room.label}`" if room.label else ""
        parts += [f"\n## {name}\n", f"{room.meaning[0].upper()}{room.meaning[1:]}{label}.\n"]
        parts += ["| figure | on the Prometheus page | kind | meaning |", "|---|---|---|---|"]
        for figure, what in room.figures.items():
            labels = f"{{{what.label}}}" if what.label else ""
            page = f"`{PREFIX}_{room.prometheus}_{what.prometheus}{labels}`" if what.prometheus else "not there"
            kind = "text" if what.kind == "info" else what.kind
            parts.append(f"| `{figure}` | {page} | {kind} | {what.meaning} |")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    print(document(), end="")
