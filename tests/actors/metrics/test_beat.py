"""The beat: one thread for all that is quick, a thread of its own for what is slow or hangs, and back again."""

import threading

import pytest

from actors.metrics.beat import LEAD_S, QUICK_LOOKS, SLOW_S, START_LOOKS, STUCK_S, Beat
from actors.metrics.collector import Chore, Collector
from tests.bed.processes import wait_until
from tests.fakes.clock import Clock


class Bench:
    """A beat whose time is the test's and which runs in the test's own thread; what it shows, and whom it asks for."""

    def __init__(self, *members, until_s=10.0, beat_s=0.0):
        self.clock, self.together, self.apart, self.successors = Clock(until_s), [], [], 0
        self.beat = Beat(
            members,
            self.clock,
            lambda: 5.0,
            beat_s,
            threading.Lock(),
            together=lambda seen, next_s: self.together.append((self.clock.now_s, [one.name for one in seen], next_s)),
            apart=lambda seen, _next_s: self.apart.append((self.clock.now_s, [one.name for one in seen])),
            successor=self.asked,
        )

    def asked(self):
        self.successors += 1

    def takes(self, name, *seconds, interval_s=1.0, closed=None):
        """A collector whose looks take so long, the last of them for ever; each look is told."""
        left, looks = list(seconds), []

        def look():
            looks.append(self.clock.now_s)
            self.clock.now_s += left.pop(0) if len(left) > 1 else left[0]
            return {"host": {name: len(looks)}}

        made = Collector(name, interval_s, look, on_close=closed)
        return made, looks


def bench_of(*named, **options):
    """A bench with a quick collector of each name."""
    bench = Bench(Collector("first", 1.0, lambda: {"host": {}}), **options)
    made = [bench.takes(name, *seconds)[0] for name, seconds in named]
    bench.beat._members += tuple(made)
    return bench


def test_what_is_due_at_once_is_one_wake_up_shown_together_and_on_the_grid():
    bench = Bench(
        Collector("host", 1.0, lambda: {"host": {}}),
        Collector("containers", 5.0, lambda: {"agent": {}}),
        until_s=6.5,
        beat_s=0.25,
    )
    assert bench.beat.run() is None
    assert bench.together[0][1] == ["host", "containers"]
    assert [at_s for at_s, _, _ in bench.together][1:] == pytest.approx([1.25, 2.25, 3.25, 4.25, 5.25, 6.25])
    assert [next_s for _, _, next_s in bench.together] == pytest.approx([1.25, 2.25, 3.25, 4.25, 5.25, 6.25, 7.25])
    assert bench.together[5][1] == ["host", "containers"]


def test_a_slow_look_leaves_the_beat_to_another_thread_and_goes_on_alone():
    bench = bench_of(("gpu", (2 * SLOW_S,)), until_s=5.5)
    assert bench.beat.run() is None
    assert bench.successors == 1
    assert bench.together == [], "the successor shows what this wake-up saw"
    assert [names for _, names in bench.apart] == [["gpu"]] * 4
    assert [member.name for member in bench.beat._members] == ["first"]
    bench.clock.until_s = 7.5
    bench.beat.run()
    assert bench.together[0][1] == ["first", "gpu", "first"], "seen before the change and after it, in one snapshot"


def test_a_beat_that_has_nobody_left_waits_for_who_comes_back():
    bench = Bench(until_s=1.5)
    slow, _ = bench.takes("gpu", 2 * SLOW_S)
    bench.beat._members = (slow,)
    bench.beat.run()
    bench.clock.until_s = 20.0
    assert bench.beat.run() is None
    assert bench.clock.now_s >= 20.0


def test_what_begins_alone_looks_shortly_before_the_beat_and_comes_to_it_after_a_few_quick_looks():
    bench = Bench(until_s=1_000.0)
    gpu, looks = bench.takes("gpu", 2 * SLOW_S, 0.1)
    assert bench.beat.alone(gpu) is None
    assert len(looks) == 1 + START_LOOKS
    assert [at_s % 1.0 for at_s in looks[1:]] == pytest.approx([1.0 - LEAD_S] * START_LOOKS)
    assert bench.beat._members == (gpu,)
    assert gpu.due_s % 1.0 == pytest.approx(0.0)
    assert gpu.due_s - looks[-1] > 0.5, "not twice for one beat"


def test_what_was_slow_comes_back_after_so_many_quick_looks_in_a_row():
    bench = Bench(until_s=1_000.0)
    gpu, looks = bench.takes("gpu", 2 * SLOW_S, 0.1, 2 * SLOW_S, 0.1)
    bench.beat._members = (gpu,)
    assert bench.beat.run() is None
    assert len(looks) == 3 + QUICK_LOOKS, "a slow one begins the count anew"
    assert bench.beat._members == (gpu,)


def test_what_has_nothing_to_look_at_ends_and_is_closed():
    closed = []
    bench = Bench()
    gpu = Collector("gpu", 1.0, lambda: None, on_close=lambda: closed.append("gpu"))
    assert bench.beat.alone(gpu) == "gpu"
    assert (closed, bench.apart, bench.beat._members) == (["gpu"], [], ())


def test_everything_is_closed_once_at_the_end_by_whoever_has_it():
    closed = []
    bench = Bench(Collector("host", 1.0, dict, on_close=lambda: closed.append("host")), until_s=3.0)
    bench.beat.run()
    assert closed == ["host"]
    gpu, _ = bench.takes("gpu", 0.0, closed=lambda: closed.append("gpu"))
    assert bench.beat.alone(gpu) is None
    assert closed == ["host", "gpu"]


def test_only_one_thread_has_the_beat():
    bench = Bench(Collector("host", 1.0, lambda: bench.beat.run() or {}), until_s=2.5)
    bench.beat.run()
    assert [names for _, names, _ in bench.together] == [["host"]] * 3


def test_the_guard_asks_again_while_nobody_has_the_beat():
    bench = Bench()
    for _ in range(2):
        bench.beat.look_after()
    assert bench.successors == 2


class Seen:
    """A lock that says, each time that it is let go, whether somebody had the beat."""

    def __init__(self):
        self.beat, self.charged = None, []

    def __enter__(self):
        return None

    def __exit__(self, *_error):
        if self.beat is not None:
            self.charged.append(self.beat._charge is not None)


def test_what_the_guard_finds_hanging_is_left_in_the_same_breath():
    hung, lock, bench = Collector("gpu", 1.0, dict), Seen(), Bench()
    lock.beat = beat = Beat(
        (hung,),
        bench.clock,
        lambda: 5.0,
        0.0,
        lock,
        together=lambda _seen, _next_s: None,
        apart=lambda _seen, _next_s: None,
        successor=bench.asked,
    )
    beat._charge, beat._inside = object(), (hung, -STUCK_S - 0.1)
    beat.look_after()
    assert lock.charged == [False], "else it could come back in between, and the beat be in another look"
    assert bench.successors == 1
    assert not beat._members


class Real:
    """A beat on real threads, in which one look hangs; time is the test's."""

    def __init__(self):
        self.gate, self.inside, self.flag = threading.Event(), threading.Event(), threading.Event()
        self.now_s, self.shown, self.alone, self.threads, self.gpu_looks = 0.0, [], [], [], 0
        self.waits = threading.Semaphore(0)
        members = (
            Collector("host", 1.0, lambda: {"host": {}}),
            Chore("around", 1.0, lambda: None),
            Collector("gpu", 1.0, self.hangs),
        )
        self.beat = Beat(
            members,
            self,
            lambda: 5.0,
            0.0,
            threading.Lock(),
            together=lambda seen, _next_s: self.shown.extend(one.name for one in seen),
            apart=lambda seen, _next_s: self.alone.extend(one.name for one in seen),
            successor=self.start,
        )

    def hangs(self):
        self.gpu_looks += 1
        self.inside.set()
        self.gate.wait(30)
        return {"gpus": {}}

    def start(self):
        self.threads.append(threading.Thread(target=self.beat.run))
        self.threads[-1].start()

    def now(self):
        return self.now_s

    def is_set(self):
        return self.flag.is_set()

    def wait(self, timeout_s):
        """A second passes at once, or when the test lets it."""
        if timeout_s > 0:
            self.waits.acquire(timeout=30)
            self.now_s += timeout_s
        return self.flag.is_set()

    def close(self):
        self.flag.set()
        self.gate.set()
        for _ in range(50):
            self.waits.release()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


def test_a_look_that_hangs_keeps_its_own_thread_and_the_others_go_on():
    made = Real()
    try:
        made.start()
        assert made.inside.wait(10)
        made.beat.look_after()
        assert len(made.threads) == 1, "not before its time"
        made.now_s += 2 * STUCK_S
        made.beat.look_after()
        assert len(made.threads) == 2
        made.waits.release()
        wait_until(lambda: made.shown.count("host") >= 2, timeout_s=10, what="what was seen before, and after")
        assert "gpu" not in made.shown + made.alone
        assert made.gpu_looks == 1, "nobody else goes into what hangs"
        made.gate.set()
        wait_until(lambda: made.alone, timeout_s=10, what="the look that hung, by its own thread")
        assert made.alone[0] == "gpu"
    finally:
        made.close()
