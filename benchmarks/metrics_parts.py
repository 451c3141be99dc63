"""What the metrics benchmark measures with: containers that do nothing, pages of engines, GPUs, the actors."""

import http.server
import itertools
import multiprocessing
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import structlog

from actors.facts import EngineFacts

EMPTY_EVERY_S = 0.25
"""Between two empty wake-ups: about as seldom as a thread of the sampler wakes."""
PAGE = Path(__file__).parents[1] / "tests" / "actors" / "metrics" / "vllm_0.32.0.prom"


def facts_of(containers, pages=()) -> tuple[EngineFacts, ...]:
    """Each container as the engine's actor tells of it."""
    return tuple(
        EngineFacts(
            f"engine-{number}",
            "vllm",
            "ready" if number < len(pages) else "loading",
            container_id=one.id,
            pid=one.attrs["State"]["Pid"],
            metrics_url=pages[number] if number < len(pages) else None,
        )
        for number, one in enumerate(containers)
    )


def cpu_ns(pid: int) -> int:
    """Processor time of all threads of a process in nanoseconds, finer than the kernel's ticks."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total


def wake_ups(pid: int | str = "self") -> int:
    """How often its threads came to a processor, ever."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[2]) for task in tasks)


@contextmanager
def empty_wake_ups() -> Iterator[int]:
    """A Python process that does nothing but wake, as threads of ours do: its process id."""
    process = multiprocessing.get_context("spawn").Process(target=_wake, daemon=True)
    process.start()
    try:
        yield process.pid or 0
    finally:
        process.terminate()
        process.join(10)


def _wake() -> None:
    gate = threading.Lock()
    gate.acquire()
    due_s = time.monotonic()
    while True:
        due_s += EMPTY_EVERY_S
        gate.acquire(timeout=max(0.0, due_s - time.monotonic()))


def moving_pages(count: int) -> Iterator[str]:
    """Pages of a busy engine, for ever the same so many: every sample has another number than in the page before."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    split = [(line, "") if line.startswith("#") else line.rsplit(" ", 1) for line in lines]
    return itertools.cycle(
        "".join(f"{name} {float(value) + number!r}\n" if value else f"{name}\n" for name, value in split)
        for number in range(count)
    )


@contextmanager
def engine_pages(count: int) -> Iterator[list[str]]:
    """Addresses of so many engines' metrics pages, the recorded one with figures that move; another process serves."""
    listener = socket.create_server(("127.0.0.1", 0))
    process = multiprocessing.get_context("fork").Process(target=_serve, args=(listener,), daemon=True)
    process.start()
    port = listener.getsockname()[1]
    listener.close()
    try:
        yield [f"http://127.0.0.1:{port}/metrics?{number}" for number in range(count)]
    finally:
        process.terminate()
        process.join(10)


def _serve(listener: socket.socket) -> None:
    text = PAGE.read_text(encoding="utf-8")
    moving = 'vllm:generation_tokens_total{engine="0",model_name="'

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            lines = [
                f"{line.rpartition(' ')[0]} {time.time():.0f}" if line.startswith(moving) else line
                for line in text.splitlines()
            ]
            body = "\n".join([*lines, ""]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words):
            pass

    server = http.server.ThreadingHTTPServer(listener.getsockname(), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.serve_forever()


@contextmanager
def eight_gpus(folder: Path) -> Iterator[object]:
    """A machine of eight GPUs under the unmodified pynvml, in this process."""
    from tests.fakes.nvml.machine import Machine, loaded

    loaded()
    machine = Machine(folder / "gpus", gpus=8)
    machine.gpu("all", drift=3)  # as real ones do: figures that stand still would be dealt with for nothing
    before = os.environ.get("FAKE_NVML")
    os.environ["FAKE_NVML"] = str(machine.file)
    try:
        yield machine
    finally:
        if before is None:
            del os.environ["FAKE_NVML"]
        else:
            os.environ["FAKE_NVML"] = before


def _later(held: list):
    """The tree of a system that is made in a moment."""

    def tree():
        return held[0].tree()

    return tree


class Sink:
    """A handle of a room that only takes; asks are answered with nothing."""

    path = "/sink"

    def tell(self, message: object) -> None:
        """Take it."""

    def call(self, message: object, *, timeout_s: float = 5.0) -> None:
        """Nothing is known."""


@contextmanager
def sampling_system(settings, engines: tuple[EngineFacts, ...], docker_host: str) -> Iterator[object]:
    """The sampler and the alerts as the daemon has them, telling a master that takes everything."""
    from actors.facts import EnginesChanged, LinkChanged
    from actors.metrics.actor import SamplerActor
    from actors.metrics.alerts.actor import AlertsActor
    from actors.metrics.alerts.judge import Door
    from actors.metrics.alerts.rules import DEFAULT_RULES
    from actors.metrics.eyes import MachineEyes
    from actors.supervision.spec import ChildSpec, SupervisorSpec
    from actors.supervision.system import System

    held: list = []
    eyes = MachineEyes(settings, {"models": Path("/tmp"), "system": Path("/")}, docker_host, _later(held))
    door = Door(lambda turned: held[0].handle("/root/alerts").tell(turned))

    def alerts():
        return AlertsActor(
            settings=settings,
            rules=DEFAULT_RULES,
            node="n",
            journal_handle=Sink(),
            observers=(),
            wall=time.time,
            door=door,
        )

    def sampler():
        return SamplerActor(settings=settings, eyes=eyes, link=Sink(), publish=door.sampled, wall=time.time)

    system = System(SupervisorSpec(children=(ChildSpec("alerts", alerts), ChildSpec("sampler", sampler))))
    held.append(system)
    with ExitStack() as stack:
        # An alert of this machine is a line of the log, which standard output is not for.
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        stack.callback(structlog.reset_defaults)
        system.start()
        stack.callback(system.stop)
        for name in ("alerts", "sampler"):
            system.handle(f"/root/{name}").tell(EnginesChanged(engines))
            system.handle(f"/root/{name}").tell(LinkChanged("connected", clock_skew_ms=0))
        yield system
