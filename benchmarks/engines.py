"""An engine from the command to serving, back after a death, adopted by a new daemon, and updated under load.

Real Docker and a real llama-server; the peer is `docker run -d` with the same flags and a loop in the shell
that asks for its health. Fifty engines at a time are small ones of the test bed.
"""

import contextlib
import itertools
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from benchmarks.harness import NotMeasuredError, Result, Samples, interleave, say

NAME = "engines"
ROUNDS_STARTS = 21
"""Odd, and enough that a slow minute of the disk moves no median."""
DEATHS = 30
FIFTY = 50
RATE_S = 50.0
LOOP = """
set -e
docker run -d --init --name "$1" --read-only --tmpfs /tmp:rw,noexec,nosuid,nodev,size=64m,mode=1777 --cap-drop ALL \
  --security-opt no-new-privileges --user 65532:65532 --pids-limit 4096 --memory 512m --cpus 1 -e HOME=/tmp \
  -v "$2":/models/model:ro -p "127.0.0.1:$3:8080" "$4" --model /models/model/tiny.gguf --alias tiny --host 0.0.0.0 \
  --port 8080 --metrics --no-ui --offline --ctx-size 512 --parallel 1 --threads 1 >/dev/null
until curl -fs -o /dev/null "http://127.0.0.1:$3/health"; do sleep 0.05; done
"""


def run() -> list[Result]:
    """Interleaved rounds for what has a peer; thirty deaths; fifty engines; an update with a client beside it."""
    from tests.bed.errors import BedError
    from tests.bed.whole import Bed

    with ExitStack() as stack:
        try:
            bed = stack.enter_context(Bed())
            place = Place(bed, stack)
            return [*place.starts(), *place.deaths(), *place.adoption(), *place.update()]
        except BedError as error:
            raise NotMeasuredError("engines", str(error), "see tests/bed/README.md") from error


def noise(samples):
    """The median, and between what the middle half and all of them lie."""
    low, high, least, most = (samples.percentile(percent) for percent in (25, 75, 0, 100))
    return f"median {samples.median:.3f}, half within {low:.3f}..{high:.3f}, all within {least:.3f}..{most:.3f}"


class Timed:
    """Containers that note when a death was heard and when a start was asked for."""

    def __init__(self, inner):
        self._inner = inner
        self.died: list[float] = []
        self.started: list[float] = []

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def start(self, container_id):
        self.started.append(time.time())
        self._inner.start(container_id)

    def events(self, agent_id, cancelled):
        for event in self._inner.events(agent_id, cancelled):
            if event.action == "die":
                self.died.append(time.time())
            yield event


class Place:
    """The engines' part of the daemon's tree, in a folder of its own."""

    def __init__(self, bed, stack):
        from tests.bed import tiny_gguf

        self.bed, self.stack = bed, stack
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="engines-")))
        root.chmod(0o755)
        self.root, self.model = root, root / "model"
        self.model.mkdir(mode=0o755)
        tiny_gguf.write(self.model / "tiny.gguf")
        (self.model / "tiny.gguf").chmod(0o644)
        self.numbers = itertools.count(1)
        self.timed: Timed | None = None

    def bench(self, image, label, folder, **settings):
        from tests.actors.engines.bench import Bench, OneFolder

        place = self.root / folder
        place.mkdir(exist_ok=True)

        def wrap(inner):
            self.timed = Timed(inner)
            return self.timed

        host, models = self.bed.engine.host, OneFolder(self.model, "tiny.gguf")
        return Bench(place, host, image, models, label, wrap=wrap, settings=settings)

    # -- starts and recoveries -------------------------------------------------------------------------------

    def starts(self):
        say(f"{ROUNDS_STARTS} rounds: a start and a recovery of the same engine; docker run with a loop")
        bench = self.bench(self.bed.llama_image, "bench-starts", "starts")
        recoveries = []
        try:
            taken = interleave(
                {"ours": lambda: self._start_and_recover(bench, recoveries), "peer": self._docker_run},
                rounds=ROUNDS_STARTS,
            )
        finally:
            bench.close()
        cold, peer = taken["ours"], taken["peer"]
        again = Samples(tuple(recoveries[-ROUNDS_STARTS:]))  # without those of the warm-up
        pairs = Samples(tuple(back / start for start, back in zip(cold.values, again.values, strict=True)))
        for name, samples in (("cold start", cold), ("recovery", again), ("docker run", peer), ("of a pair", pairs)):
            say(f"{name}: {noise(samples)}")
        return [
            Result(
                "command_to_serving_s", "s", "lower", cold.median, peer=peer.median, peer_name="docker_run", target=1.15
            ),
            Result("recovery_s", "s", "lower", again.median, peer=cold.median, peer_name="cold_start", target=1.2),
        ]

    def _start_and_recover(self, bench, recoveries):
        """From the command to serving; then, of the same engine, from Docker's event of its death to serving again."""
        from protocol.messages.commands import EngineStart

        number = next(self.numbers)
        command = EngineStart(name="chat", generation=number, spec=bench.spec())
        begun = time.time()
        bench.send(number, command)
        first = bench.wait(lambda facts: facts.state == "ready", "ready")
        bench.containers.signal(first.container_id, "SIGKILL")
        back = bench.wait(lambda facts: facts.state == "ready" and facts.container_id != first.container_id, "back")
        recoveries.append(back.ready_since - self.timed.died[-1])
        self._stop(bench)
        return first.ready_since - begun  # when it was said, not when it was looked for

    def _stop(self, bench):
        from protocol.messages.commands import EngineStop

        number = next(self.numbers)
        bench.result(bench.send(number, EngineStop(name="chat", generation=number, drain_s=0.0)))

    def _docker_run(self):
        from tests.bed.ports import free_port

        name = f"bench-peer-{time.monotonic_ns()}"
        words = ["sh", "-c", LOOP, "loop", name, str(self.model), str(free_port()), self.bed.llama_image]
        begun = time.perf_counter()
        subprocess.run(words, check=True, env=self.bed.engine.environment(), timeout=60)
        took = time.perf_counter() - begun
        with self.bed.engine.client() as client:
            client.containers.get(name).remove(force=True, v=True)
        return took

    def deaths(self):
        say(f"{DEATHS} deaths: from Docker's event to the replacement's start")
        from protocol.messages.commands import EngineStart

        bench = self.bench(self.bed.llama_image, "bench-deaths", "deaths")
        timed = self.timed
        try:
            spec = bench.spec(restart={"attempts": 1_000, "within_s": 0.05})
            bench.result(bench.send(1, EngineStart(name="chat", generation=1, spec=spec)))
            for _ in range(DEATHS):
                before = bench.wait(lambda facts: facts.state == "ready", "ready")
                bench.containers.signal(before.container_id, "SIGKILL")
                bench.wait(
                    lambda facts, before=before: facts.state == "ready" and facts.restarts > before.restarts, "back"
                )
        finally:
            bench.close()
        waits = [1_000 * (started - died) for died, started in zip(timed.died, timed.started[1:], strict=False)]
        return [Result("death_to_restart_p99_ms", "ms", "lower", Samples(tuple(waits)).percentile(99), target=150.0)]

    # -- fifty engines ---------------------------------------------------------------------------------------

    def adoption(self):
        say(f"{FIFTY} engines, adopted by a new daemon while clients ask them")
        from protocol.messages.commands import EngineStart

        names = [f"chat{number:02d}" for number in range(FIFTY)]
        first = self.bench(self.bed.odd_image, "bench-fifty", "fifty", canary_s=0.0)
        probes = {"interval_s": 5.0, "start_timeout_s": 120.0}
        spec = first.spec(memory_bytes=32 << 20, cpus=0.2, probes=probes)
        sent = [
            first.send(number, EngineStart(name=name, generation=1, spec=spec)) for number, name in enumerate(names, 1)
        ]
        for one in sent:
            first.result(one, 120.0)
        facts = [first.facts(name) for name in names]
        with Clients([one.endpoint for one in facts], each_s=0.2) as clients:
            first.close(remove=False)
            begun = time.perf_counter()
            again = self.bench(self.bed.odd_image, "bench-fifty", "fifty", canary_s=0.0)
            try:
                self._wait_ready(again, names)
                took = time.perf_counter() - begun
                same = [again.facts(name).container_id for name in names] == [one.container_id for one in facts]
                restarts = sum(again.facts(name).restarts for name in names)
            finally:
                clients.stop()
                again.close()
        if not same or restarts:
            raise NotMeasuredError("adopt_50_s", f"{restarts} restarts, same containers: {same}", "read the log")
        return [
            Result("adopt_50_s", "s", "lower", took, target=2.0),
            Result("adopt_50_failed_requests", "requests", "lower", float(clients.failed), target=0.0),
        ]

    @staticmethod
    def _wait_ready(bench, names):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = [bench.facts(name) for name in names]
            if all(one is not None and one.state == "ready" for one in found):
                return
            time.sleep(0.01)
        raise NotMeasuredError("adopt_50_s", "not all were adopted within 60 s", "read the log")

    # -- update ----------------------------------------------------------------------------------------------

    def update(self):
        say(f"an update side by side with a client at {RATE_S:g} requests a second")
        from protocol.messages.commands import EngineStart, EngineUpdate

        bench = self.bench(self.bed.llama_image, "bench-update", "update")
        try:
            bench.result(bench.send(1, EngineStart(name="chat", generation=1, spec=bench.spec())))
            ready = bench.wait(lambda facts: facts.state == "ready", "ready")
            with Clients([lambda: bench.facts().endpoint], each_s=1 / RATE_S, path="/v1/completions") as clients:
                spec = bench.spec(context_length=1_024)
                result = bench.result(bench.send(2, EngineUpdate(name="chat", generation=2, spec=spec)))
                only = time.monotonic() + 30
                while len(bench.containers.find(bench.label)) > 1 and time.monotonic() < only:
                    time.sleep(0.1)
                clients.stop()
            if result.state != "done" or bench.facts().container_id == ready.container_id:
                raise NotMeasuredError("update_failed_requests", f"the update ended {result.state}", "read the log")
        finally:
            bench.close()
        say(f"{clients.answered} requests were answered")
        return [Result("update_failed_requests", "requests", "lower", float(clients.failed), target=0.0)]


class Clients:
    """One thread for each endpoint, asking at a pace until it is stopped; a failure is anything but 200."""

    def __init__(self, endpoints, each_s, path="/health"):
        self._stop, self._path, self._each_s = threading.Event(), path, each_s
        self.failed = self.answered = 0
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in endpoints]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def _run(self, endpoint):
        body = b'{"prompt": "a", "max_tokens": 2, "work": 0.01}' if self._path != "/health" else None
        due = time.monotonic()
        while not self._stop.is_set():
            address = endpoint() if callable(endpoint) else endpoint
            good = False
            with contextlib.suppress(OSError):
                request = urllib.request.Request(f"{address}{self._path}", body)
                with urllib.request.urlopen(request, timeout=20) as answer:
                    good = answer.status == 200 and bool(answer.read())
            with self._lock:
                self.answered += good
                self.failed += not good
            due = max(due + self._each_s, time.monotonic() - 1.0)
            self._stop.wait(max(0.0, due - time.monotonic()))

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def __exit__(self, *_):
        self.stop()
