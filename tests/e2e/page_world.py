"""A busy machine for the page: the real API server, its board fed with facts that look like a day's work."""

import math
import random
import time

from actors.api.actor import Put
from actors.api.history import History
from actors.facts import (
    AlertFacts,
    AlertsChanged,
    EngineFacts,
    EnginesChanged,
    LinkChanged,
    ModelFacts,
    ModelsChanged,
    TransferFacts,
    TransfersChanged,
)

GIB = 1 << 30
GPUS = ("GPU-5d0c5a31-0f6e-4f8e-9d5c-7b1f3a2e9c01", "GPU-8e1b7f42-2a9d-4c3b-8f6a-1c2d3e4f5a02")
NOW = 1_790_000_000.0


def engines(chat="ready", now=NOW):
    """One that serves, one in the state asked for, one that loads."""
    died = chat in {"backoff", "gave_up"}
    why = "exit code 137: killed by the kernel for want of memory (host_out_of_memory)" if died else ""
    return EnginesChanged(
        (
            EngineFacts(
                "chat-8b",
                "vllm",
                chat,
                image="registry.internal/vllm@sha256:1f",
                model="meta-llama/Llama-3.1-8B-Instruct",
                generation=4,
                endpoint="http://127.0.0.1:18000" if chat == "ready" else None,
                gpus=GPUS[:1],
                restarts=1 if died else 0,
                ready_since=now - 93_600 if chat == "ready" else None,
                why=why,
                next_try_at=now + 42 if died else None,
                attempts=(why,) if died else (),
                cause="host_out_of_memory" if died else "",
            ),
            EngineFacts(
                "embed",
                "llamacpp",
                "ready",
                model="nomic-ai/nomic-embed-text-v1.5-GGUF",
                generation=1,
                endpoint="http://127.0.0.1:18001",
                ready_since=now - 400_000,
            ),
            EngineFacts(
                "code-32b",
                "vllm",
                "loading",
                model="Qwen/Qwen2.5-Coder-32B-Instruct",
                generation=2,
                gpus=GPUS[1:],
                why="loading the weights",
            ),
        )
    )


def models():
    return ModelsChanged(
        (
            ModelFacts(
                "meta-llama/Llama-3.1-8B-Instruct", "0e9e39f249a16976", "/m/a", 16 * GIB, current=True, leases=1
            ),
            ModelFacts("nomic-ai/nomic-embed-text-v1.5-GGUF", "18d1044b", "/m/b", 140 << 20, current=True, leases=1),
            ModelFacts("Qwen/Qwen2.5-Coder-32B-Instruct", "381fc969", "/m/c", 61 * GIB, current=True, pinned=True),
        )
    )


def transfers(done=11 * GIB):
    return TransfersChanged(
        (
            TransferFacts(
                "t1",
                "mistralai/Mistral-Small-24B-Instruct",
                "9527884b",
                "transferring",
                done,
                44 * GIB,
                310 << 20,
                106.0,
            ),
            TransferFacts("t2", "BAAI/bge-m3", "5617a9f6", "waiting", 0, 2 * GIB, why="two others come first"),
        )
    )


ALERT = AlertFacts(
    fingerprint="a" * 16,
    rule="gpu_thermal_throttle",
    severity="warning",
    subject=GPUS[1],
    labels=(("gpu", GPUS[1]),),
    starts_at=NOW - 340,
    value=0.62,
    text=f"GPU {GPUS[1]}: slowed for heat in 62 % of the last minute",
    do="See the fans and the room; lower the power cap if it stays",
)
CRITICAL = AlertFacts(
    fingerprint="b" * 16,
    rule="engine_down",
    severity="critical",
    subject="chat-8b",
    labels=(("engine", "chat-8b"),),
    starts_at=NOW - 20,
    value=None,
    text="Engine chat-8b has ended unexpectedly: killed by the kernel for want of memory",
    do="See why on its card; give it more memory or move another engine",
)


def figures(t, load=1.0, seed=7):
    """What is measured at second `t`; waves with some noise, so that a chart looks like one."""
    noise = random.Random(f"{seed} {int(t)}")
    wave = 0.5 + 0.32 * math.sin(t / 170) + 0.12 * math.sin(t / 23) + noise.uniform(-0.05, 0.05)
    busy = max(0.02, min(0.98, wave)) * load
    gpus = {
        uuid: {
            "name": "NVIDIA H100 80GB HBM3",
            "utilization": max(0.0, min(1.0, busy * scale)),
            "memory_total_bytes": 80 * GIB,
            "memory_used_bytes": int(used * GIB),
            "memory_by_engine": {owner: int((used - 1) * GIB), "-": GIB},
            "temperature_c": 38 + int(40 * busy * scale),
            "slowdown_c": 87,
            "power_w": 90 + 560 * busy * scale,
            "power_limit_w": 700.0,
            "clock_sm_mhz": 1980,
            "throttle_thermal": hot,
            "throttle_power_cap": False,
            "ecc_uncorrectable": 0,
        }
        for uuid, scale, used, owner, hot in (
            (GPUS[0], 1.0, 72.4, "chat-8b", False),
            (GPUS[1], 0.35, 31.0, "code-32b", True),
        )
    }
    return {
        "at": t,
        "host": {
            "cpu.busy": 0.08 + 0.3 * busy,
            "memory.total_bytes": 1024 * GIB,
            "memory.available_bytes": int((700 - 60 * busy) * GIB),
            "load1": 12 + 20 * busy,
            "pressure.cpu.some": 0.02,
            "pressure.memory.some": 0.0,
            "pressure.io.some": 0.01,
            "net.received_bytes_per_s": busy * 420 * (1 << 20),
            "net.sent_bytes_per_s": busy * 33 * (1 << 20),
            "disk.read_bytes_per_s": busy * 800 * (1 << 20),
            "disk.written_bytes_per_s": busy * 310 * (1 << 20),
            "docker_up": True,
        },
        "disks": {
            "/var/lib/mosalamaagent": {"total_bytes": 440 * GIB, "free_bytes": 300 * GIB, "used_share": 0.318},
            "/models": {"total_bytes": 3_500 * GIB, "free_bytes": 410 * GIB, "used_share": 0.883},
        },
        "gpus": gpus,
        "containers": {"chat-8b": {"memory_bytes": 9 * GIB, "cpu_cores": 1.8}},
        "engines": {
            "chat-8b": {
                "state": "ready",
                "running": int(24 * busy),
                "waiting": max(0, int(9 * busy - 4)),
                "kv_usage": 0.9 * busy,
                "generated_tokens_per_s": 2_400 * busy,
                "prompt_tokens_per_s": 9_000 * busy,
                "ttft_p95_s": 0.18 + 0.4 * busy * busy,
            },
            "embed": {"state": "ready", "running": 1, "waiting": 0, "generated_tokens_per_s": 36 * busy},
            "code-32b": {"state": "loading"},
        },
        "agent": {"rss_bytes": 58 << 20, "threads": 21, "cpu_cores": 0.004},
    }


def node(path, state="running", *, children=(), kind="worker", restarts=0, last=""):
    return {
        "path": path,
        "kind": kind,
        "state": state,
        "incarnation": 1 + restarts,
        "restarts_in_window": restarts,
        "restarts_total": restarts,
        "last_reason": last,
        "next_restart_in_s": None,
        "mailbox_depth": 0,
        "current_message": "",
        "current_age_s": 0.0,
        "children": list(children),
    }


TREE = node(
    "/root",
    kind="one_for_one",
    children=[
        node("/root/journal"),
        node(
            "/root/engines",
            kind="rest_for_one",
            children=[
                node(
                    "/root/engines/replicas",
                    kind="dynamic",
                    children=[node(f"/root/engines/replicas/{name}") for name in ("chat-8b", "embed", "code-32b")],
                ),
                node("/root/engines/manager"),
            ],
        ),
        node(
            "/root/downloads",
            kind="rest_for_one",
            children=[node("/root/downloads/transfers", kind="dynamic"), node("/root/downloads/manager")],
        ),
        node(
            "/root/metrics",
            kind="one_for_one",
            children=[
                node("/root/metrics/alerts"),
                node("/root/metrics/sampler", restarts=1, last="crash: OSError: [Errno 5] Input/output error"),
            ],
        ),
        node("/root/link"),
        node("/root/aux", kind="one_for_one", children=[node("/root/aux/api")]),
    ],
)
EVENTS = [
    {"at": NOW - 4_000 + 60 * index, "severity": severity, "kind": kind, "subject": subject, "text": text}
    for index, (severity, kind, subject, text) in enumerate(
        (
            ("info", "agent.started", "agent", "the daemon has started"),
            ("info", "engine.adopted", "chat-8b", "found running, adopted"),
            ("info", "model.ready", "Qwen/Qwen2.5-Coder-32B-Instruct", "61 GiB verified"),
            ("warning", "engine.restarted", "embed", "its health was unhealthy 3 times in a row"),
            ("info", "engine.ready", "embed", "ready after 4.1 s"),
            ("error", "download.failed", "BAAI/bge-m3", "the hub answered 503; next try in 30 s"),
        )
    )
]


def past(history: History, now=NOW, step=5.0):
    """A day behind us, with a hole where the daemon did not run."""
    from actors.api.charted import charted

    begin = now - 86_400
    for index in range(int(86_400 / 60)):
        at = begin + 60 * index
        if not 30_000 < at - begin < 33_000 and at < now - 900:
            history.add(at - begin, at, charted(figures(at)))
    for index in range(int(900 / step)):
        at = now - 900 + step * index
        history.add(at - begin, at, charted(figures(at)))


def feed(bench, chat="ready", now=None):
    """Everything at once, as of now."""
    now = now or time.time()
    bench.tree, bench.events = TREE, [event | {"at": event["at"] - NOW + now} for event in EVENTS]
    bench.board.put("agent", {"version": "0.1.0", "label": "5f0c", "host": "gpu-node-17"})
    bench.tell(
        LinkChanged("connected", "https://master.internal:7443", "a-7f3c21d09e", since=now - 86_000),
        engines(chat, now),
        models(),
        transfers(),
        AlertsChanged(()),
        Put("snapshot", figures(now)),
    )
