"""Every figure that is measured: its names in the snapshot and on the Prometheus page, and what it is. Pure data.

docs/metrics.md, the Prometheus page and the API's document are made from this; a test compares it with a real snapshot.
Units on the Prometheus page are base units: seconds, bytes, hertz, celsius, watts, joules; shares are 0..1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PREFIX = "mosalama"
Kind = Literal["gauge", "counter", "info"]
G: Kind = "gauge"
C: Kind = "counter"
I: Kind = "info"  # noqa: E741  # a text: a label of a figure that is always 1


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure; `label` names the keys of one that is a mapping, `scale` makes its unit the base unit."""

    prometheus: str
    """Behind the prefix and the room."""
    kind: Kind
    meaning: str
    scale: float = 1.0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """A room of the snapshot; `label` names its subjects, empty where it has only one."""

    prometheus: str
    label: str
    meaning: str
    figures: Mapping[str, Figure]


def _host() -> dict[str, Figure]:
    found = {
        "cpu_s_total": Figure("cpu_busy_seconds_total", C, "processor time in use, all processors, since the boot"),
        "cpu.busy": Figure("cpu_busy_ratio", G, "share of the processors in use since the last look"),
        "cpu.user": Figure("cpu_user_ratio", G, "share that programs took"),
        "cpu.system": Figure("cpu_system_ratio", G, "share that the kernel took, interrupts too"),
        "cpu.iowait": Figure("cpu_iowait_ratio", G, "share that was idle and waited for a disk"),
        "cpu.steal": Figure("cpu_steal_ratio", G, "share that the machine below took"),
        "load1": Figure("load1", G, "load over one minute"),
        "load5": Figure("load5", G, "load over five minutes"),
        "load15": Figure("load15", G, "load over fifteen minutes"),
        "tasks_running": Figure("tasks_running", G, "tasks that run or could"),
        "tasks_blocked": Figure("tasks_blocked", G, "tasks in a call that cannot be broken off: a disk or a driver"),
        "oom_kills": Figure("oom_kills_total", C, "processes that the kernel killed for memory since the boot"),
        "docker_up": Figure("docker_up", G, "1 while the Docker Engine answers"),
        "net.received_bytes_total": Figure("network_received_bytes_total", C, "over all cards since the boot"),
        "net.sent_bytes_total": Figure("network_sent_bytes_total", C, "over all cards since the boot"),
        "net.faults_total": Figure("network_faults_total", C, "packets that were damaged or dropped"),
        "net.received_bytes_per_s": Figure("network_received_bytes_per_second", G, "over all cards"),
        "net.sent_bytes_per_s": Figure("network_sent_bytes_per_second", G, "over all cards"),
        "disk.read_bytes_total": Figure("disks_read_bytes_total", C, "over all disks since the boot"),
        "disk.written_bytes_total": Figure("disks_written_bytes_total", C, "over all disks since the boot"),
        "disk.read_bytes_per_s": Figure("disks_read_bytes_per_second", G, "over all disks"),
        "disk.written_bytes_per_s": Figure("disks_written_bytes_per_second", G, "over all disks"),
    }
    for name, meaning in (
        ("total", "of the machine"),
        ("available", "that can be had without swapping"),
        ("free", "that nobody uses"),
        ("cached", "of files, which the kernel gives back when asked"),
        ("swap_total", "of swap"),
        ("swap_free", "of swap that nobody uses"),
    ):
        found[f"memory.{name}_bytes"] = Figure(f"memory_{name}_bytes", G, f"memory {meaning}")
    for what in ("cpu", "memory", "io"):
        for who, meaning in (("some", "some task"), ("full", "every task")):
            name = f"pressure.{what}.{who}"
            found[name] = Figure(
                f"pressure_{what}_{who}_ratio", G, f"share of 60 s in which {meaning} waited for {what}"
            )
    return found


DISK = {
    "roles": Figure("info", I, "what lies on it", label="roles"),
    "total_bytes": Figure("total_bytes", G, "size of the file system"),
    "free_bytes": Figure("free_bytes", G, "free for users who are not root"),
    "used_share": Figure("used_ratio", G, "share in use of what such users may fill"),
    "inodes_used_share": Figure("inodes_used_ratio", G, "share of the inodes in use"),
    "hung": Figure("hung", G, "1 while the file system does not answer"),
}
DRIVER = {
    "version": Figure("info", I, "of the driver", label="version"),
    "hung": Figure("hung", G, "1 while the driver does not answer"),
    "mismatch": Figure("mismatch", G, "1 when the driver was changed under the running daemon"),
    "gpus_missing": Figure("gpus_missing", G, "GPUs fewer than at the start"),
}
GPU = {
    "name": Figure("info", I, "its model", label="name"),
    "pci_address": Figure("pci_info", I, "its place on the bus", label="address"),
    "lost": Figure("lost", G, "1 while it does not answer"),
    "unified": Figure("unified_memory", G, "1 where its memory is the machine's own"),
    "utilization": Figure("utilization_ratio", G, "share of the time in which some kernel ran"),
    "memory_utilization": Figure("memory_utilization_ratio", G, "share of the time in which its memory was used"),
    "memory_total_bytes": Figure("memory_total_bytes", G, "its memory"),
    "memory_used_bytes": Figure("memory_used_bytes", G, "in use"),
    "memory_by_engine": Figure(
        "memory_by_engine_bytes", G, "of an engine's programs; - is everybody else", label="engine"
    ),
    "processes": Figure("processes", G, "programs on it"),
    "temperature_c": Figure("temperature_celsius", G, "of the chip"),
    "slowdown_c": Figure("slowdown_celsius", G, "temperature at which it slows itself down"),
    "power_w": Figure("power_watts", G, "that it draws"),
    "power_limit_w": Figure("power_limit_watts", G, "that it may draw"),
    "energy_j_total": Figure("energy_joules_total", C, "since the driver was loaded"),
    "fan_share": Figure("fan_ratio", G, "of the fan's full speed"),
    "clock_sm_mhz": Figure("clock_sm_hertz", G, "of its processors", scale=1e6),
    "clock_memory_mhz": Figure("clock_memory_hertz", G, "of its memory", scale=1e6),
    "throttle_thermal": Figure("throttle_thermal", G, "1 while it is slowed for heat"),
    "throttle_brake": Figure("throttle_brake", G, "1 while it is slowed by the machine's power brake"),
    "throttle_power_cap": Figure("throttle_power_cap", G, "1 while it is slowed by its power limit"),
    "ecc_corrected": Figure("ecc_corrected_total", C, "memory errors that were corrected, since the driver was loaded"),
    "ecc_uncorrectable": Figure("ecc_uncorrectable_total", C, "memory errors that were not"),
    "remapped_rows": Figure("remapped_rows", G, "rows of memory that were replaced"),
    "remap_pending": Figure("remap_pending", G, "1 when a row waits for a reset to be replaced"),
    "remap_failure": Figure("remap_failure", G, "1 when a row could not be replaced"),
    "pcie_generation": Figure("pcie_generation", G, "of its link now"),
    "pcie_width": Figure("pcie_lanes", G, "of its link now"),
    "pcie_width_max": Figure("pcie_lanes_max", G, "that its link may have"),
    "pcie_replays": Figure("pcie_replays_total", C, "packets that its link sent twice"),
    "pcie_sent_bytes_per_s": Figure("pcie_sent_bytes_per_second", G, "over its link"),
    "pcie_received_bytes_per_s": Figure("pcie_received_bytes_per_second", G, "over its link"),
    "nvlinks_up": Figure("nvlinks_up", G, "links to other GPUs that work"),
    "nvlink_errors": Figure("nvlink_errors_total", C, "replays, recoveries and damaged packets over them"),
    "xid_fatal_total": Figure("xid_fatal_total", C, "events that need a reset or a new card"),
    "xid_memory_total": Figure("xid_memory_total", C, "events of failing memory"),
    "xid_app_total": Figure("xid_app_total", C, "events that are a program's fault until it is known better"),
    "xid_code": Figure("xid_code", G, "of the last event"),
    "xid_text": Figure("", I, "what the last event means"),
    "mig": Figure("", G, "slices of a GPU in MIG mode, each with its memory"),
}
CONTAINER = {
    "cpu_s_total": Figure("cpu_seconds_total", C, "processor time"),
    "cpu_cores": Figure("cpu_cores", G, "processors in use"),
    "throttled_s_total": Figure("throttled_seconds_total", C, "time in which its limit of processors held it back"),
    "memory_bytes": Figure("memory_bytes", G, "in use, without the cache that the kernel may drop"),
    "memory_limit_bytes": Figure("memory_limit_bytes", G, "that it may use; absent without a limit"),
    "oom_kills": Figure("oom_kills_total", C, "processes in it that the kernel killed for memory"),
    "processes": Figure("processes", G, "processes and threads in it"),
    "read_bytes_total": Figure("read_bytes_total", C, "from disks"),
    "written_bytes_total": Figure("written_bytes_total", C, "to disks"),
    "read_bytes_per_s": Figure("read_bytes_per_second", G, "from disks"),
    "written_bytes_per_s": Figure("written_bytes_per_second", G, "to disks"),
    "pressure.memory.some": Figure(
        "pressure_memory_some_ratio", G, "share of 60 s in which some task waited for memory"
    ),
    "pressure.memory.full": Figure("pressure_memory_full_ratio", G, "share of 60 s in which every task did"),
}


def _engine() -> dict[str, Figure]:
    found = {
        "state": Figure("info", I, "starting, loading, ready, backoff, gave_up and so on", label="state"),
        "restarts": Figure("restarts_total", C, "since it was created"),
        "page_missing": Figure("page_missing", G, "1 when it is ready and its metrics page did not come"),
        "running": Figure("requests_running", G, "requests that are worked on"),
        "waiting": Figure("requests_waiting", G, "requests that wait"),
        "kv_usage": Figure("kv_cache_usage_ratio", G, "share of the key-value cache in use"),
        "prompt_tokens_total": Figure("prompt_tokens_total", C, "tokens read"),
        "generated_tokens_total": Figure("generated_tokens_total", C, "tokens written"),
        "prompt_tokens_per_s": Figure("prompt_tokens_per_second", G, "since the last look"),
        "generated_tokens_per_s": Figure("generated_tokens_per_second", G, "since the last look"),
        "preemptions_total": Figure("preemptions_total", C, "requests pushed out of the cache"),
        "requests_total": Figure("requests_total", C, "requests that ended"),
        "requests_failed_total": Figure("requests_failed_total", C, "requests that failed or were broken off"),
    }
    names = {
        "ttft": ("time_to_first_token", "to the first token"),
        "itl": ("inter_token_latency", "between two tokens"),
        "e2e": ("request_latency", "from a request to its end"),
    }
    for short, (name, meaning) in names.items():
        for part, word in (("p50", "median"), ("p95", "95th percentile"), ("mean", "mean")):
            found[f"{short}_{part}_s"] = Figure(f"{name}_{part}_seconds", G, f"{word} {meaning}, of the last minute")
    return found


AGENT = {
    "rss_bytes": Figure("resident_memory_bytes", G, "memory of the daemon"),
    "cpu_s_total": Figure("cpu_seconds_total", C, "processor time of the daemon"),
    "cpu_cores": Figure("cpu_cores", G, "processors that the daemon uses"),
    "threads": Figure("threads", G, "threads of the daemon"),
    "actors": Figure("actors", G, "actors in the supervision tree"),
    "restarts_total": Figure("restarts_total", C, "restarts in the supervision tree"),
    "mailbox_depth_max": Figure("mailbox_messages_max", G, "messages that wait at the busiest actor"),
    "mailbox_depth": Figure("mailbox_messages", G, "messages that wait at an actor", label="actor"),
    "spool_share": Figure("spool_ratio", G, "share of the room for reports that the master has not heard"),
}
COLLECTOR = {
    "at": Figure("last_look_timestamp_seconds", G, "when it last looked"),
    "interval_s": Figure("interval_seconds", G, "between two looks"),
    "duration_s": Figure("duration_seconds", G, "of its last look"),
    "errors_total": Figure("errors_total", C, "looks that failed"),
    "skipped_total": Figure("skipped_total", C, "looks that were left out since the one before took too long"),
    "error": Figure("", I, "why its last look failed"),
    "ended": Figure("ended", G, "1 where there is nothing to look at: a machine without GPUs"),
}
REQUEST_RESULTS = "requests."
"""Figures of an engine that begin so count its requests by how they ended: `requests.stop_total`."""

ROOMS: Mapping[str, Room] = {
    "host": Room("host", "", "the machine", _host()),
    "disks": Room("disk", "directory", "a file system that matters, by a directory on it", DISK),
    "drivers": Room("driver", "driver", "the driver of the GPUs", DRIVER),
    "gpus": Room("gpu", "uuid", "a GPU", GPU),
    "containers": Room("container", "engine", "an engine's container", CONTAINER),
    "engines": Room("engine", "engine", "an engine, as its metrics page says", _engine()),
    "agent": Room("agent", "", "this daemon", AGENT),
    "collectors": Room("collector", "collector", "what looks at all this", COLLECTOR),
}
