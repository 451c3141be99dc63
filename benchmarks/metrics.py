"""What seeing costs: samples of host, containers, engines and GPUs, a log line, and how soon an alert is told."""

import gc
import json
import logging
import logging.handlers
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from benchmarks import metrics_parts as parts
from benchmarks.harness import NotMeasuredError, Result, Samples, interleave, repeat, say, seconds

NAME = "metrics"
HOST_SAMPLES = 200
SCRAPES = 10
CONTAINERS = 50
CONTAINER_ROUNDS = 20
PAGES = 20
LINES = 3_000
STEADY_S = 10.0
STEADY_WINDOWS = 5
SETTLE_S = 12.0
ALERT_GPUS = 16
ALERT_WAIT_S = 20.0
XIDS = (79, 63, 13)
"""One of each class: three rules on each GPU."""


def run() -> list[Result]:
    """Every part with its peer, interleaved; real containers, a real node_exporter, a real agent and master."""
    return [*_host(), *_containers_and_steady(), *_page(), *_log(), *_alerts()]


def _cpu_ms(work: Callable[[], object], times: int) -> float:
    """Processor time of one, in this process, all threads."""
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) * 1e3 / times


# -- the host -------------------------------------------------------------------------------------------------


def _host() -> list[Result]:
    from actors.metrics.disks_look import file_system
    from actors.metrics.host_look import HostLook
    from actors.metrics.procfs import Kept
    from tests.bed.observers import NodeExporter

    kept = Kept()
    look = HostLook(kept, time.monotonic)

    def sample() -> None:
        look.now()
        look.flow()
        file_system(Path("/"))

    with NodeExporter() as exporter:

        def scrape() -> float:
            before = parts.cpu_ns(exporter.program.pid)
            for _ in range(SCRAPES):
                exporter.page()
            return (parts.cpu_ns(exporter.program.pid) - before) / 1e6 / SCRAPES

        taken = interleave({"ours": lambda: _cpu_ms(sample, HOST_SAMPLES), "node_exporter": scrape}, rounds=9)
    kept.close()
    ours, peer = taken["ours"].median, taken["node_exporter"].median
    return [
        Result("host_sample_cpu_ms", "ms", "lower", ours, target=0.15),
        Result("host_sample_cpu_ms", "ms", "lower", ours, peer=peer, peer_name="node_exporter", target=1 / 20),
    ]


# -- containers, and all of it together -----------------------------------------------------------------------


def _containers_and_steady() -> list[Result]:
    from tests.bed.docker_engine import DockerEngine
    from tests.bed.errors import BedError
    from tests.bed.idle_image import idle_containers

    try:
        with DockerEngine() as engine, engine.client() as client:
            say(f"{CONTAINERS} containers")
            with idle_containers(client, CONTAINERS) as made:
                return [*_containers(made), *_steady(made[:10], engine.host)]
    except BedError as error:
        raise NotMeasuredError("containers", str(error), "see tests/bed/README.md") from error


def _containers(made) -> list[Result]:
    from actors.metrics.cgroup import Groups
    from actors.metrics.containers_look import ContainersLook
    from actors.metrics.procfs import Kept

    kept = Kept()
    look, facts = ContainersLook(Groups(kept), time.monotonic), parts.facts_of(made)
    found = look.look(facts)["containers"]
    if len(found) != CONTAINERS or not all("memory_bytes" in figures for figures in found.values()):
        raise NotMeasuredError("containers", "their control groups cannot be read", "run as root")

    def ours_ms() -> float:
        return seconds(lambda: look.look(facts)) * 1e3

    with ThreadPoolExecutor(CONTAINERS) as pool:

        def sdk_ms() -> float:
            return seconds(lambda: list(pool.map(lambda one: one.stats(stream=False), made))) * 1e3

        taken = interleave({"ours": ours_ms, "docker_sdk": sdk_ms}, rounds=5)
    cpu = repeat(lambda: _cpu_ms(lambda: look.look(facts), CONTAINER_ROUNDS), rounds=9)
    kept.close()
    latency, peer = taken["ours"].median, taken["docker_sdk"].median
    return [
        Result("containers_50_cpu_ms", "ms", "lower", cpu.median, target=2.0),
        Result("containers_50_latency_ms", "ms", "lower", latency, peer=peer, peer_name="docker_sdk", target=1 / 100),
    ]


def _steady(made, docker_host: str) -> list[Result]:
    """Everything at its default pace: 8 GPUs, 10 containers, 4 engines; sampler, alerts and reports.

    The peer is what as many wake-ups cost in which nothing is done, of a bare Python process at the same time.
    """
    from config.metrics import MetricsSettings

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steady-")))
        pages = stack.enter_context(parts.engine_pages(4))
        stack.enter_context(parts.eight_gpus(folder))
        facts = parts.facts_of(made, pages)
        empty = stack.enter_context(parts.empty_wake_ups())
        stack.enter_context(parts.sampling_system(MetricsSettings(), facts, docker_host))
        say(f"all of it at its default pace, {STEADY_WINDOWS} windows of {STEADY_S:g} s")
        time.sleep(SETTLE_S)
        gc.freeze()  # as the daemon does once it runs: what the benchmark has loaded is none of the sampler's
        stack.callback(gc.unfreeze)
        values, floors = [], []
        for _ in range(STEADY_WINDOWS):
            before = parts.cpu_ns(empty), parts.wake_ups(empty), parts.wake_ups()
            cpu, wall = time.process_time(), time.monotonic()
            time.sleep(STEADY_S)
            passed_s = time.monotonic() - wall
            values.append((time.process_time() - cpu) * 1e3 / passed_s)
            one_ms = (parts.cpu_ns(empty) - before[0]) / 1e6 / max(1, parts.wake_ups(empty) - before[1])
            floors.append(one_ms * (parts.wake_ups() - before[2]) / passed_s)
    ours, floor = Samples(tuple(values)).median, Samples(tuple(floors)).median
    return [
        Result("steady_cpu_ms_per_s", "ms/s", "lower", ours, target=1.5),
        Result("steady_cpu_ms_per_s", "ms/s", "lower", ours, peer=floor, peer_name="empty_wake_ups", target=None),
    ]


# -- an engine's page -----------------------------------------------------------------------------------------


def _page() -> list[Result]:
    from prometheus_client.parser import text_string_to_metric_families

    from actors.metrics import engine_latency, engine_schema
    from actors.metrics.engine_page import EnginePage
    from actors.metrics.exposition import Page

    # No two pages in a row have a number in common: of a quiet engine ours would read next to nothing.
    texts = parts.moving_pages(PAGES)
    # It comes from a wire as bytes; the copy that this makes is measured as ours.
    pages = (Page.of(text.encode()) for text in texts)
    page = EnginePage(engine_schema.fields_with({}))
    latencies = engine_latency.Latencies()

    def ours() -> None:
        """To the schema and its quantiles; the peer only parses."""
        _, histograms = page.read(next(pages))
        latencies.see(histograms, time.monotonic())

    def peer() -> None:
        list(text_string_to_metric_families(next(texts)))

    taken = interleave({"ours": lambda: _cpu_ms(ours, PAGES), "peer": lambda: _cpu_ms(peer, PAGES)}, rounds=9)
    return [
        Result(
            "engine_page_cpu_ms",
            "ms",
            "lower",
            taken["ours"].median,
            peer=taken["peer"].median,
            peer_name="prometheus_client",
            target=1 / 15,
        )
    ]


# -- the log --------------------------------------------------------------------------------------------------


class _Json(logging.Formatter):
    """The usual formatter of JSON lines over the standard library."""

    def format(self, record: logging.LogRecord) -> str:
        words = {"at": self.formatTime(record), "level": record.levelname, "event": record.getMessage()}
        return json.dumps(words | getattr(record, "words", {}))


def _log() -> list[Result]:
    import structlog

    from actors.log.setup import configure
    from config.log import LogSettings

    words = {"command_id": "0123456789abcdef0123456789abcdef", "command": "engine.ensure", "took_s": 0.123}
    with tempfile.TemporaryDirectory(prefix="log-") as folder:
        made = configure(LogSettings(repeat_max_per_min=10_000), Path(folder))
        ours, rounds = structlog.get_logger().bind(actor="link", agent="0" * 32), iter(range(10_000))
        peer = logging.getLogger("benchmark")
        peer.propagate = False
        handler = logging.handlers.RotatingFileHandler(Path(folder) / "peer", maxBytes=50 << 20, backupCount=5)
        handler.setFormatter(_Json())
        peer.addHandler(handler)
        peer.setLevel(logging.INFO)
        extra = {"words": {"actor": "link", "agent": "0" * 32} | words}

        def ours_us() -> float:
            event = f"command.received {next(rounds)}"  # the limit of equal events is not what is measured
            return _cpu_ms(lambda: ours.info(event, **words), LINES) * 1e3

        taken = interleave(
            {"ours": ours_us, "peer": lambda: _cpu_ms(lambda: peer.info("command.received", extra=extra), LINES) * 1e3},
            rounds=9,
        )
        made.close()
        handler.close()
        peer.handlers.clear()
        structlog.reset_defaults()
    cost, other = taken["ours"].median, taken["peer"].median
    return [
        Result("log_record_cpu_us", "us", "lower", cost, target=15.0),
        Result("log_record_cpu_us", "us", "lower", cost, peer=other, peer_name="stdlib_json", target=None),
    ]


# -- from the sample to the master ----------------------------------------------------------------------------


def _alerts() -> list[Result]:
    """From the event of a GPU to the alert in the master's book, a real agent and master over TLS.

    It is longer than from the sample on: the driver's wait lies before, the question to the master behind.
    """
    from actors.master.client import ask
    from tests.bed.demo_world import World
    from tests.bed.processes import wait_until
    from tests.e2e.test_master_and_link import connected, enrol
    from tests.fakes.nvml.machine import Machine

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="al-", dir="/tmp")))
        world = World(folder, f"unix://{folder}/docker.sock")
        stack.callback(world.close)
        machine = Machine(folder / "gpus", gpus=ALERT_GPUS)
        world.environment |= machine.environment()
        world.operator("init", "--host", "127.0.0.1")
        world.start_master()
        enrol(world)
        connected(world)

        def told() -> set[tuple[str, str]]:
            rows = ask(world.master_dir, "GET", "/v1/alerts")["alerts"]
            return {(row["rule"], row["labels"].get("gpu", "")) for row in rows}

        figures = lambda: world.operator("metrics", world.agent_id)  # noqa: E731  # a name for wait_until
        wait_until(lambda: any(name.startswith("gpu.") for name in figures()), timeout_s=60, what="the GPUs")
        say(f"{ALERT_GPUS * len(XIDS)} alerts of a real agent at a real master")
        values = []
        for number in range(ALERT_GPUS):
            for code in XIDS:
                before, began = told(), time.monotonic()
                machine.xid(number, code)
                wait_until(lambda known=before: told() - known, timeout_s=ALERT_WAIT_S, what=f"Xid {code}")
                values.append((time.monotonic() - began) * 1e3)
    taken = Samples(tuple(values))
    say(f"median {taken.median:.0f} ms")
    return [Result("alert_latency_p99_ms", "ms", "lower", taken.percentile(99), target=1_000.0)]
