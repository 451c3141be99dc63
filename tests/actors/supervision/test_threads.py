"""The runtime of production: workers on threads, and a thread that is free takes the next worker."""

import gc
import threading
import weakref

import pytest

from actors.supervision import threads
from actors.supervision.threads import ThreadRuntime

WITHIN_S = 20.0


@pytest.fixture
def runtime(monkeypatch):
    """With threads that wait for work until the test has ended."""
    monkeypatch.setattr(threads, "LINGER_S", WITHIN_S)
    made = ThreadRuntime(seed=1)
    yield made
    for waiting in list(made._spares):
        waiting.parker.unpark()


def spare(runtime):
    """Wait until a thread waits for work."""
    parker = runtime.parker()
    while not runtime._spares:
        parker.park(0.001)


def test_a_free_thread_takes_the_next_worker_with_its_own_name(runtime):
    seen = []

    def look():
        thread = threading.current_thread()
        seen.append((thread.ident, thread.name, thread.daemon))

    first = runtime.spawn("first", look)
    assert first.join(WITHIN_S)
    spare(runtime)
    second = runtime.spawn("second", look)
    assert second.join(WITHIN_S)
    assert seen[0][0] == seen[1][0]
    assert [name for _, name, _ in seen] == ["first", "second"]
    assert all(daemon for _, _, daemon in seen)


def test_a_busy_thread_is_not_taken(runtime):
    gate = runtime.parker()
    waiting = runtime.spawn("waiting", lambda: gate.park(WITHIN_S))
    other = runtime.spawn("other", lambda: None)
    assert other.join(WITHIN_S)
    assert waiting.is_alive()
    assert not waiting.join(0.0)
    assert "gate.park" in waiting.stack()
    gate.unpark()
    assert waiting.join(WITHIN_S)
    assert not waiting.stack()


def test_a_waiting_thread_holds_nothing_of_its_last_worker(runtime):
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    worker = runtime.spawn("holds", lambda thing=thing: None)
    del thing
    assert worker.join(WITHIN_S)
    spare(runtime)
    gc.collect()
    assert gone() is None
    assert [thread.name for thread in threading.enumerate() if thread.name == "spare"] == ["spare"]


def test_a_thread_without_work_ends(runtime, monkeypatch):
    monkeypatch.setattr(threads, "LINGER_S", 0.0)
    before = set(threading.enumerate())
    assert runtime.spawn("short", lambda: None).join(WITHIN_S)
    parker = runtime.parker()
    while set(threading.enumerate()) - before:
        parker.park(0.001)
    assert not runtime._spares


def test_what_escapes_a_worker_is_told_and_ends_its_thread(runtime, monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def escape():
        raise ValueError("escaped")

    worker = runtime.spawn("escapes", escape)
    assert worker.join(WITHIN_S)
    parker = runtime.parker()
    while not told:
        parker.park(0.001)
    assert told[0].exc_type is ValueError
    assert not runtime._spares
    told.clear()  # it holds the thread
