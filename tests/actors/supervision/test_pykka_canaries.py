"""What stock pykka does, row by row: the reasons for a loop of our own. A new pykka that changes one fails here.

Where a fact is a race, the canary builds the losing order on purpose instead of waiting for luck.
"""

import asyncio
import contextvars
import ctypes
import gc
import logging
import queue
import threading
import weakref

import pykka
import pytest

WITHIN_S = 20.0
SHORT_S = 0.05
"""How long a wait that must fail is allowed to take; longer only makes the test slower, never wrong."""


KEPT = []
"""A reference holds its actor weakly; a test that looks into a dead one has to keep it."""

ESCAPES = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
"""The exception leaves pykka's thread: that is the fact."""


class Noting(pykka.ThreadingActor):
    """Notes its hooks; runs the functions that it is sent."""

    use_daemon_thread = True

    def __init__(self, start=None, stop=None, failure=None):
        super().__init__()
        KEPT.append(self)
        self.notes, self._start, self._stop_hook, self._failure = [], start, stop, failure
        self.thread = None

    def on_start(self):
        self.thread = threading.current_thread()
        self.notes.append("start")
        if self._start:
            self._start(self)

    def on_stop(self):
        self.notes.append("stop")
        if self._stop_hook:
            self._stop_hook(self)

    def on_failure(self, exception_type, exception_value, traceback):
        self.notes.append("failure")
        if self._failure:
            self._failure(self)

    def on_receive(self, message):
        return message(self)


@pytest.fixture(autouse=True)
def clean():
    """Stock actors of one test never reach the next."""
    logging.getLogger("pykka").setLevel(logging.CRITICAL)
    yield
    for ref in pykka.ActorRegistry.get_all():
        pykka.ActorRegistry.unregister(ref)
        ref.actor_stopped.set()
        ref.actor_inbox.put(pykka._envelope.Envelope(pykka.messages._ActorStop()))
    KEPT.clear()
    logging.getLogger("pykka").setLevel(logging.NOTSET)


def begin(**hooks):
    """The reference of a new actor, and the actor itself."""
    ref = Noting.start(**hooks)
    return ref, ref._actor_weakref()


def ended(actor):
    actor.thread.join(WITHIN_S)
    return not actor.thread.is_alive()


def fail(actor):
    raise ValueError("on purpose")


def leak(error):
    def run(actor):
        raise error

    return run


def nothing(actor):
    return "answer"


def test_row_01_an_error_in_on_start_runs_no_hook():
    ref, actor = begin(start=fail)
    assert ref.actor_stopped.wait(WITHIN_S)
    assert ended(actor)
    assert actor.notes == ["start"]


def test_row_02_an_error_in_on_stop_is_no_failure():
    ref, actor = begin(stop=fail)
    assert ref.stop(timeout=WITHIN_S) is True
    assert actor.notes == ["start", "stop"]


def test_row_03_an_error_in_an_ask_leaves_the_actor_alive():
    ref, actor = begin()
    with pytest.raises(ValueError, match="on purpose"):
        ref.ask(fail, timeout=WITHIN_S)
    assert ref.ask(nothing, timeout=WITHIN_S) == "answer"
    assert "failure" not in actor.notes


def test_row_04_an_error_in_a_tell_kills_and_on_failure_comes_after_the_flag():
    flags = []
    ref, actor = begin(failure=lambda actor: flags.append(actor.actor_stopped.is_set()))
    ref.tell(fail)
    assert ref.actor_stopped.wait(WITHIN_S)
    assert ended(actor)
    assert (actor.notes, flags) == (["start", "failure"], [True])


def test_row_05_a_system_exit_in_an_ask_stops_everybody_and_answers_nobody():
    others = [begin()[0] for _ in range(5)]
    ref, actor = begin()
    future = ref.ask(leak(SystemExit()), block=False)
    assert ended(actor)
    assert actor.notes == ["start", "stop"]
    with pytest.raises(pykka.Timeout):
        future.get(timeout=SHORT_S)
    assert not any(other.is_alive() for other in others)


@ESCAPES
def test_row_06_a_system_exit_in_on_start_leaves_a_zombie():
    ref, actor = begin(start=leak(SystemExit()))
    assert ended(actor)
    assert ref.is_alive()
    assert ref in pykka.ActorRegistry.get_all()
    with pytest.raises(pykka.Timeout):
        ref.ask(nothing, timeout=SHORT_S)


@ESCAPES
def test_row_07_a_base_exception_in_on_failure_leaves_asks_hanging():
    gate = threading.Event()
    ref, actor = begin(failure=leak(SystemExit()))
    ref.tell(lambda actor: gate.wait(WITHIN_S) and fail(actor))
    future = ref.ask(nothing, block=False)
    gate.set()
    assert ended(actor)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=SHORT_S)


def test_row_08_a_leaked_cancelled_error_stops_every_bystander():
    bystanders = [begin()[0] for _ in range(5)]
    ref, actor = begin()
    ref.tell(leak(asyncio.CancelledError()))
    assert ended(actor)
    assert sum(other.is_alive() for other in bystanders) == 0


def test_row_09_a_crash_drops_the_queued_tells_silently():
    gate, handled = threading.Event(), []
    ref, actor = begin()
    ref.tell(lambda actor: gate.wait(WITHIN_S) and fail(actor))
    for _ in range(999):
        ref.tell(handled.append)
    gate.set()
    assert ended(actor)
    assert handled == []
    assert ref.actor_inbox.empty()


def test_row_10_an_actor_counts_as_dead_while_on_stop_works():
    alive = []
    ref, _ = begin(stop=lambda actor: alive.append(actor.actor_ref.is_alive()))
    ref.stop(timeout=WITHIN_S)
    assert alive == [False]


def test_row_11_a_stop_waits_behind_every_queued_message():
    gate, handled = threading.Event(), []
    ref, _ = begin()
    ref.tell(lambda actor: gate.wait(WITHIN_S))
    for _ in range(50):
        ref.tell(handled.append)
    stopping = ref.stop(block=False)
    assert handled == []
    gate.set()
    assert stopping.get(timeout=WITHIN_S) is True
    assert len(handled) == 50


def test_row_12_there_is_no_way_to_the_thread():
    ref, actor = begin()
    held = [*vars(ref).values(), *(value for name, value in vars(actor).items() if name != "thread")]
    assert not any(isinstance(value, threading.Thread) for value in held)


def test_row_13_stop_returns_before_the_thread_has_ended():
    gate = threading.Event()

    class Slow(Noting):
        def _actor_loop_teardown(self):
            gate.wait(WITHIN_S)

    ref = Slow.start()
    actor = ref._actor_weakref()
    assert ref.stop(timeout=WITHIN_S) is True
    assert actor.thread.is_alive()
    gate.set()
    assert ended(actor)


def test_row_14_context_variables_are_not_inherited():
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("set by the starter")
    ref, _ = begin()
    assert ref.ask(lambda actor: variable.get(), timeout=WITHIN_S) == "default"


def test_row_15_two_that_ask_each_other_wait_until_the_timeout():
    first, _ = begin()
    second, _ = begin()

    def ask_back(actor):
        with pytest.raises(pykka.Timeout):
            first.ask(nothing, timeout=SHORT_S)
        return "deadlock"

    assert first.ask(lambda actor: second.ask(ask_back, timeout=WITHIN_S), timeout=WITHIN_S) == "deadlock"


def test_row_16_one_that_asks_itself_waits_until_the_timeout():
    ref, _ = begin()

    def ask_self(actor):
        with pytest.raises(pykka.Timeout):
            ref.ask(nothing, timeout=SHORT_S)
        return "deadlock"

    assert ref.ask(ask_self, timeout=WITHIN_S) == "deadlock"


def test_row_17_an_ask_between_the_check_and_the_put_is_never_answered():
    ref, actor = begin()
    original = ref.actor_inbox.put

    def late(envelope):
        original(pykka._envelope.Envelope(pykka.messages._ActorStop()))
        assert ended(actor)
        original(envelope)

    ref.actor_inbox.put = late
    future = ref.ask(nothing, block=False)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=SHORT_S)


def test_row_18_an_idle_actor_holds_its_last_message():
    ref, _ = begin()

    class Message:
        def __call__(self, actor):
            return None

    def send():
        message = Message()
        ref.ask(message, timeout=WITHIN_S)
        return weakref.ref(message)

    weak = send()
    gc.collect()
    assert weak() is not None
    ref.ask(nothing, timeout=WITHIN_S)
    ref.ask(nothing, timeout=WITHIN_S)
    gc.collect()
    assert weak() is None


def test_row_19_the_reference_of_a_dead_actor_keeps_its_inbox():
    ref, actor = begin()
    ref.stop(timeout=WITHIN_S)
    assert ended(actor)
    assert isinstance(ref.actor_inbox, queue.Queue)


def test_row_20_the_constructor_runs_in_the_callers_thread():
    made_in = []

    class Made(Noting):
        def __init__(self):
            super().__init__()
            made_in.append(threading.current_thread())

    Made.start()
    assert made_in == [threading.current_thread()]


def test_row_21_start_returns_before_on_start_has_ended():
    gate, done = threading.Event(), threading.Event()
    ref, _ = begin(start=lambda actor: gate.wait(WITHIN_S) and done.set())
    assert not done.is_set()
    gate.set()
    assert ref.ask(nothing, timeout=WITHIN_S) == "answer"
    assert done.is_set()


def test_row_22_a_timed_out_ask_is_executed_all_the_same():
    gate, executed = threading.Event(), threading.Event()
    ref, _ = begin()
    ref.tell(lambda actor: gate.wait(WITHIN_S))
    with pytest.raises(pykka.Timeout):
        ref.ask(lambda actor: executed.set(), timeout=SHORT_S)
    gate.set()
    assert executed.wait(WITHIN_S)


def test_row_23_an_async_exception_waits_for_the_blocking_call():
    gate, busy = threading.Event(), threading.Event()
    ref, actor = begin()

    def blocks(actor):
        busy.set()
        gate.wait(WITHIN_S)

    ref.tell(blocks)
    assert busy.wait(WITHIN_S)
    ident = ctypes.c_ulong(actor.thread.ident)
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(ValueError)) == 1
    assert not ref.actor_stopped.wait(SHORT_S)
    gate.set()
    assert ref.actor_stopped.wait(WITHIN_S)


def test_row_24_threads_keep_the_process_alive_unless_told_otherwise():
    assert pykka.ThreadingActor.use_daemon_thread is False
    _, actor = begin()
    assert actor.thread.daemon is True


def test_row_25_a_thread_that_cannot_start_leaves_a_registered_actor(monkeypatch):
    def none_left(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        with pytest.raises(RuntimeError):
            Noting.start()
    (ref,) = pykka.ActorRegistry.get_all()
    assert ref.is_alive()
    with pytest.raises(pykka.Timeout):
        ref.ask(nothing, timeout=SHORT_S)


def test_the_hooks_that_we_override_are_called(monkeypatch):
    """Our incarnation depends on these names and on when they are called."""
    called = []

    class Hooked(Noting):
        def _create_actor_inbox(self):
            called.append("inbox")
            return queue.Queue()

        def _start_actor_loop(self):
            called.append("loop")

    ref = Hooked.start()
    assert called == ["inbox", "loop"]
    assert ref.actor_inbox is ref._actor_weakref().actor_inbox
    pykka.ActorRegistry.unregister(ref)


def test_a_future_that_is_set_twice_raises():
    future = pykka.ThreadingFuture()
    future.set(1)
    with pytest.raises(queue.Full):
        future.set(2)
