"""Many engines are stopped in a short time only by who says that it is meant."""

from actors.journal import messages as say
from actors.journal.mass_stop import Burst, Stops
from actors.journal.store import JournalStore
from config.journal import JournalSettings
from protocol.messages.commands import EngineStop
from protocol.messages.reports import CommandResult
from tests.actors.journal.test_actor import Bench, bench, signed  # noqa: F401  # a fixture

SETTINGS = JournalSettings()
ENGINES = tuple(f"e{number}" for number in range(10))


def stop(number, name, *, confirmed=False):
    return signed(number, EngineStop(name=name, generation=9, confirmed=confirmed))


def test_up_to_the_bound_nobody_is_asked_and_the_next_must_be_confirmed():
    for running, most in ((ENGINES[:3], 3), (ENGINES[:4], 3), (ENGINES[:6], 3), (ENGINES[:10], 5)):
        stops = Stops(SETTINGS)
        taken = [stops.ask(name, running, 1.0, confirmed=False) for name in running]
        assert taken == [None] * most + [Burst(most + 1, len(running))] * (len(running) - most)


def test_who_confirms_stops_all_of_them_and_each_confirms_only_itself():
    stops = Stops(SETTINGS)
    assert [stops.ask(name, ENGINES, 1.0, confirmed=True) for name in ENGINES[:9]] == [None] * 9
    assert stops.ask(ENGINES[9], ENGINES, 1.0, confirmed=False) == Burst(10, 10)


def test_what_was_stopped_already_counts_while_the_window_is_open():
    stops, left = Stops(SETTINGS), list(ENGINES[:4])
    for _ in range(3):
        assert stops.ask(left[0], left, 1.0, confirmed=False) is None
        del left[0]  # it has ended, and the machine wants fewer now
    assert stops.ask(left[0], left, 1.0 + SETTINGS.stops_window_s / 2, confirmed=False) == Burst(4, 4)
    assert stops.ask(left[0], left, 1.1 + SETTINGS.stops_window_s, confirmed=False) is None


def test_the_same_engine_again_or_one_that_does_not_run_is_no_burst():
    stops = Stops(SETTINGS)
    assert [stops.ask("e0", ENGINES[:4], 1.0, confirmed=False) for _ in range(20)] == [None] * 20
    assert [stops.ask(f"x{number}", ENGINES[:4], 1.0, confirmed=False) for number in range(20)] == [None] * 20


def test_a023_a_held_stop_is_on_disk_as_failed_is_an_event_and_is_never_carried_out(bench, tmp_path):  # noqa: F811
    for number, name in enumerate(ENGINES[:5]):
        bench.handle.tell(say.PutDesired(say.Desired(name, 1, b"spec", f"{number:032x}")))
    for number, name in enumerate(ENGINES[:5], 1):
        bench.accept(stop(number, name), offset=number)
    bench.link.wait(say.Accepted, lambda message: message.offset == 5)
    results = [row.message for row in bench.outbox() if isinstance(row.message, CommandResult)]
    assert [(result.state, result.error.code) for result in results] == [("failed", "E_CONFIRM")] * 2
    assert "--confirm" in results[0].error.do
    assert "number 4 of 5 engines" in results[0].error.why
    assert [event.kind for event in bench.handle.call(say.RecentEvents(10))] == ["engine.stop_held"] * 2
    assert [told.command.name for told in bench.owner.of(say.Execute)] == list(ENGINES[:3])
    bench.accept(stop(6, ENGINES[3], confirmed=True), offset=6)
    bench.owner.wait(say.Execute, lambda told: told.command.name == ENGINES[3])
    bench.close()
    store = JournalStore.open(tmp_path / "journal.sqlite")
    assert {signed(number).command_id for number in (4, 5)}.isdisjoint({row[0] for row in store.open_commands()})
    store.close()


def test_a_command_that_came_too_late_is_not_carried_out_after_a_crash_either(tmp_path):
    made = Bench(tmp_path / "journal.sqlite")
    made.accept(signed(), expired=True)
    made.link.wait(say.Accepted)
    store = JournalStore.open(tmp_path / "journal.sqlite")
    assert not list(store.open_commands()), "its end is on disk with its beginning"
    store.close()
    made.close()
