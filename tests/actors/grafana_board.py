"""Writes the board for Grafana: `python -m tests.actors.grafana_board > docs/grafana/mosalamaagent.json`."""

import json

WIDTH, HEIGHT = 8, 7
ROWS = (
    (
        "Engines",
        (
            ("Tokens written", "short", "rate(mosalama_engine_generated_tokens_total{X}[1m])", "{{engine}}"),
            ("Requests waiting", "short", "mosalama_engine_requests_waiting{X}", "{{engine}}"),
            ("Requests running", "short", "mosalama_engine_requests_running{X}", "{{engine}}"),
            ("Time to first token, p95", "s", "mosalama_engine_time_to_first_token_p95_seconds{X}", "{{engine}}"),
            ("Cache in use", "percentunit", "mosalama_engine_kv_cache_usage_ratio{X}", "{{engine}}"),
            ("Memory of the container", "bytes", "mosalama_container_memory_bytes{X}", "{{engine}}"),
        ),
    ),
    (
        "GPUs",
        (
            ("Utilization", "percentunit", "mosalama_gpu_utilization_ratio{X}", "{{uuid}}"),
            ("Memory in use", "bytes", "mosalama_gpu_memory_used_bytes{X}", "{{uuid}}"),
            ("Temperature", "celsius", "mosalama_gpu_temperature_celsius{X}", "{{uuid}}"),
            ("Power", "watt", "mosalama_gpu_power_watts{X}", "{{uuid}}"),
            ("Slowed for heat", "short", "mosalama_gpu_throttle_thermal{X}", "{{uuid}}"),
            ("Fatal events", "short", "increase(mosalama_gpu_xid_fatal_total{X}[10m])", "{{uuid}}"),
        ),
    ),
    (
        "Machine",
        (
            ("Processors", "percentunit", "mosalama_host_cpu_busy_ratio{X}", "{{instance}}"),
            ("Memory available", "bytes", "mosalama_host_memory_available_bytes{X}", "{{instance}}"),
            ("Waiting for memory", "percentunit", "mosalama_host_pressure_memory_full_ratio{X}", "{{instance}}"),
            ("Disks", "percentunit", "mosalama_disk_used_ratio{X}", "{{directory}}"),
            ("Network in", "Bps", "rate(mosalama_host_network_received_bytes_total{X}[1m])", "{{instance}}"),
            ("The agent's memory", "bytes", "mosalama_agent_resident_memory_bytes{X}", "{{instance}}"),
        ),
    ),
)


def queries():
    """Every query of the board, for one machine."""
    return [query.replace("{X}", "") for _, panels in ROWS for _, _, query, _ in panels]


def board():
    panels, top = [], 0
    for title, charts in ROWS:
        place = {"h": 1, "w": 24, "x": 0, "y": top}
        panels.append({"type": "row", "title": title, "gridPos": place, "id": len(panels) + 1, "panels": []})
        for number, (name, unit, query, legend) in enumerate(charts):
            row, column = divmod(number, 3)
            panels.append(
                {
                    "type": "timeseries",
                    "title": name,
                    "id": len(panels) + 1,
                    "datasource": {"type": "prometheus", "uid": "${source}"},
                    "gridPos": {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": top + 1 + row * HEIGHT},
                    "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                    "targets": [
                        {"refId": "A", "expr": query.replace("{X}", '{instance=~"$instance"}'), "legendFormat": legend}
                    ],
                }
            )
        top += 1 + HEIGHT * -(-len(charts) // 3)
    return {
        "title": "MosalamaAgent",
        "uid": "mosalamaagent",
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {
            "list": [
                {"name": "source", "type": "datasource", "query": "prometheus"},
                {
                    "name": "instance",
                    "type": "query",
                    "datasource": {"type": "prometheus", "uid": "${source}"},
                    "query": "label_values(mosalama_host_load1, instance)",
                    "multi": True,
                    "includeAll": True,
                },
            ]
        },
        "panels": panels,
    }


def text():
    return json.dumps(board(), indent=1) + "\n"


if __name__ == "__main__":
    print(text(), end="")
