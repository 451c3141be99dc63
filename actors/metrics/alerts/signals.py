"""The signals that rules speak of: scope -> signal -> what it is, with its unit. Pure data.

A signal is a figure of the snapshot, or what `derive` makes of several: a share, a rate, a count of new occurrences.
"""

from collections.abc import Mapping
from types import MappingProxyType

SIGNALS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "host": {
            "memory_available_share": "0..1, memory that can be had without swapping",
            "pressure_memory_full": "0..1, share of the last 60 s in which every task waited for memory",
            "pressure_cpu_some": "0..1, share of the last 60 s in which some task waited for a processor",
            "oom_kills_new": "processes outside our containers that the kernel killed for memory since the last look",
            "clock_skew_s": "seconds between this clock and the master's, without sign",
            "docker_down": "1 while the Docker Engine does not answer",
        },
        "disk": {
            "used_share": "0..1, of what users who are not root may fill",
            "free_bytes": "bytes",
            "full_in_s": "seconds until it is full at the pace of the last ten minutes",
            "inodes_used_share": "0..1",
            "hung": "1 while the file system does not answer",
        },
        "gpu": {
            "xid_fatal_new": "events that need a reset or a new card, since the last look",
            "xid_memory_new": "events of failing memory, since the last look",
            "xid_app_new": "events that a program causes, and unknown ones, since the last look",
            "xid_app_10m": "such events in the last ten minutes",
            "xid_code": "code of the latest event",
            "xid_text": "what the latest event means",
            "xid_engine": "the engine on the GPU, when one is known",
            "lost": "1 while the GPU does not answer though its neighbours do",
            "ecc_uncorrectable": "uncorrectable errors since the driver was loaded",
            "ecc_corrected_per_hour": "corrected errors in the last hour",
            "remap_pending": "1 while a row waits for a reset to be remapped",
            "remap_failure": "1 when a row could not be remapped",
            "throttle_thermal_share": "0..1, share of the last minute's samples slowed for heat",
            "throttle_brake_share": "0..1, share of the last minute's samples slowed by the power brake",
            "temperature_c": "degrees Celsius",
            "slowdown_margin_c": "degrees Celsius to the card's own slowdown threshold (90 where it names none)",
            "memory_used_share": "0..1; unknown on unified memory",
            "memory_free_bytes": "bytes; unknown on unified memory",
            "reserved_by_engine": "1 while a running engine holds this GPU and its memory on purpose",
            "fan_share": "0..1; unknown on cards without fans",
            "nvlink_errors_new": "link errors since the last look",
            "nvlink_down": "links that are down and were up",
            "pcie_width_share": "0..1, width of the link by the widest it can be, while the GPU works",
            "pcie_replays_per_hour": "replays in the last hour",
            "idle_with_queue": "1 while the engine on it has requests waiting and the GPU does less than 5 %",
        },
        "driver": {
            "hung": "1 while the GPU driver does not answer",
            "mismatch": "1 when the driver was changed under the running daemon",
            "gpus_missing": "GPUs fewer than at the start",
        },
        "engine": {
            "failed": "1 while it shall run and does not, after it ended unexpectedly",
            "gave_up": "1 after so many failures that the next try is a long way off",
            "restarts_10m": "restarts in the last ten minutes",
            "why": "why it is in its state",
            "oom_kills_new": "processes of its container that the kernel killed for memory since the last look",
            "busy_without_progress_s": "seconds with requests running and not one more token read or written",
            "kv_usage": "0..1, share of the key-value cache in use",
            "waiting": "requests that wait",
            "preemptions_per_min": "requests that were pushed out of the cache, a minute",
            "ttft_by_target": "time to the first token, 95th percentile of the last minute, by the configured target",
            "page_misses": "looks in a row at which its metrics page did not come while it was ready",
        },
        "collector": {
            "late_intervals": "age of its newest good look in its own intervals, each at least 3.3 s long; 0 in time"
        },
        "agent": {
            "memory_by_budget": "resident memory by the configured budget",
            "cpu_by_budget": "processors in use by the configured budget",
            "spool_share": "0..1, of the room for reports that the master has not heard",
        },
        "rule": {"held_back": "transitions of the rule that were not told at the last look"},
    }
)
