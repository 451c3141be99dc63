"""A flag wakes whoever waits, once set stays set, and tells the runtime's time."""

from actors.supervision.flag import Flag


def test_a_wait_ends_when_the_flag_is_set_and_not_before(runtime):
    flag, waiting, seen = Flag(runtime), runtime.parker(), []

    def wait():
        waiting.unpark()
        seen.append(flag.wait(20.0))

    worker = runtime.spawn("waits", wait)
    assert waiting.park(20.0)
    assert not seen
    flag.set()
    assert worker.join(20.0)
    assert seen == [True]


def test_a_wait_that_nobody_ends_is_over_in_time_and_leaves_nothing(runtime):
    flag = Flag(runtime)
    begun = flag.now()
    assert not flag.wait(0.001)
    assert flag.now() >= begun
    assert flag._waiters == []


def test_a_flag_that_is_set_lets_everyone_through(runtime):
    flag = Flag(runtime)
    flag.set()
    flag.set()
    assert flag.is_set()
    assert flag.wait(0.0)
