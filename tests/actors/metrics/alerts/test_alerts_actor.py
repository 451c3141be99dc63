"""The alert actor: told at once and once, saved before it is told, taken up after a restart."""

import itertools

import pytest

from actors.facts import AlertsChanged, EngineFacts, EnginesChanged, LinkChanged
from actors.journal.messages import Deliver, PutState
from actors.metrics.alerts.actor import LOOK_S, AlertsActor
from actors.metrics.alerts.judge import Door, Turned
from actors.metrics.alerts.rules import DEFAULT_RULES
from actors.metrics.snapshot import Snapshot
from actors.supervision.errors import MailboxFull
from config.metrics import MetricsSettings
from tests.fakes.context import FakeContext, FakeHandle

PATIENT = {"host_interval_s": 300, "engine_interval_s": 300}


class Bench:
    def __init__(self, saved=None, **settings):
        self.saved = saved
        self.journal = FakeHandle("/journal", lambda _ask: self.saved)
        self.observer = FakeHandle("/observer")
        self.nudges = []
        self.door = Door(self.nudges.append)
        self.actor = AlertsActor(
            settings=MetricsSettings(**(PATIENT | settings)),
            rules=DEFAULT_RULES,
            node="node",
            journal_handle=self.journal,
            observers=(self.observer,),
            wall=itertools.count(1_000).__next__,
            door=self.door,
        )
        self.context = FakeContext(self.actor)
        self.actor.on_start()

    def sampled(self, snapshot):
        """As the sampler does it; the actor hears of it when it is nudged."""
        self.door.sampled(snapshot)
        nudges, self.nudges[:] = list(self.nudges), []
        for nudge in nudges:
            self.actor.on_message(nudge)
        return len(nudges)

    def tell(self, message):
        self.actor.on_message(message)
        return self.alerts()

    def alerts(self):
        told = self.journal.take()
        for message in told:
            if isinstance(message, PutState):
                self.saved = message.value
        kinds = [type(message) for message in told]
        if Deliver in kinds:
            assert kinds[0] is PutState, "on disk before it is told"
        return [message.message for message in told if isinstance(message, Deliver)]

    def shown(self):
        changes = [message for message in self.observer.take() if isinstance(message, AlertsChanged)]
        return [alert.rule for alert in changes[-1].alerts] if changes else None


def ended(restarts=1):
    return EnginesChanged((EngineFacts("chat", "vllm", "backoff", why="exit 1", restarts=restarts),))


def test_a_critical_alert_leaves_with_the_fact_that_shows_it_and_only_once():
    bench = Bench()
    (alert,) = bench.tell(ended())
    assert (alert.rule, alert.severity, alert.state) == ("engine_down", "critical", "firing")
    assert alert.labels == {"engine": "chat"}
    assert alert.text == "chat ended unexpectedly: exit 1"
    assert bench.shown() == ["engine_down"]
    assert bench.tell(ended()) == []
    assert bench.shown() is None


def test_an_alert_begins_with_the_sample_that_shows_it_and_ends_with_the_one_that_does_not():
    bench = Bench()
    bench.sampled(Snapshot(5_000.25, drivers={"nvidia": {"hung": 1}}))
    (alert,) = bench.alerts()
    assert (alert.rule, alert.starts_at_ms) == ("gpu_driver_hung", 5_000_250)
    bench.sampled(Snapshot(5_001.0, drivers={"nvidia": {"hung": 0}}))
    (over,) = bench.alerts()
    assert (over.starts_at_ms, over.ends_at_ms) == (5_000_250, 5_001_000)


def test_its_end_comes_with_time_alone():
    bench = Bench()
    first = bench.tell(ended())[0]
    bench.tell(EnginesChanged((EngineFacts("chat", "vllm", "ready"),)))
    bench.context.advance(119)
    assert bench.alerts() == []
    bench.context.advance(2)
    (over,) = bench.alerts()
    assert (over.state, over.fingerprint, over.sequence) == ("resolved", first.fingerprint, first.sequence + 1)
    assert over.ends_at_ms > over.starts_at_ms
    assert bench.shown() == []


def test_a_restart_neither_raises_again_nor_forgets():
    before = Bench()
    (alert,) = before.tell(ended())
    after = Bench(saved=before.saved)
    assert after.shown() == ["engine_down"]
    assert after.tell(ended()) == []
    after.tell(EnginesChanged((EngineFacts("chat", "vllm", "ready"),)))
    after.context.advance(130)
    (over,) = after.alerts()
    assert (over.state, over.fingerprint) == ("resolved", alert.fingerprint)


def test_a_damaged_memory_is_left_behind():
    bench = Bench(saved=b"{}")
    assert bench.shown() is None
    assert bench.tell(ended())


def test_a_sampler_that_falls_silent_is_an_alert_and_its_return_the_end():
    bench = Bench(host_interval_s=5)
    bench.sampled(Snapshot(1.0))
    bench.context.advance(16)
    assert [(alert.rule, alert.state) for alert in bench.alerts()] == [("collector_stale", "firing")]
    bench.sampled(Snapshot(1.0))
    bench.context.advance(LOOK_S)
    assert bench.shown() == []


def test_what_is_not_known_any_more_is_shown_as_such():
    bench = Bench()
    bench.sampled(Snapshot(1.0, drivers={"nvidia": {"hung": 1}}))
    bench.context.advance(1_000)
    (alert,) = [alert for alert in bench.observer.take()[-1].alerts if alert.rule == "gpu_driver_hung"]
    assert alert.stale


def test_a_rule_that_is_off_is_silent():
    assert Bench(alerts_off=("engine_down",)).tell(ended()) == []


def test_the_clock_of_the_master_is_compared():
    bench = Bench()
    bench.sampled(Snapshot(1.0))
    bench.tell(LinkChanged("connected", clock_skew_ms=-2_000))
    for _ in range(70):
        bench.context.advance(1)
        bench.sampled(Snapshot(1.0))
    assert [alert.rule for alert in bench.alerts()] == ["clock_skew"]


def test_a_full_journal_takes_no_alert_down():
    bench = Bench()
    bench.journal.fails = MailboxFull("/journal", 10)
    bench.actor.on_message(ended())
    assert bench.shown() == ["engine_down"]


@pytest.mark.parametrize("why", ["x" * 10_000, "{braces}", "line\nline"])
def test_any_reason_fits_the_message(why):
    facts = EngineFacts("c" * 63, "vllm", "gave_up", why=why)
    (alert,) = Bench().tell(EnginesChanged((facts,)))
    assert alert.rule == "engine_gave_up"
    assert len(alert.text) <= 4_096


HUNG = Snapshot(1.0, drivers={"nvidia": {"hung": 1}})
WELL = Snapshot(2.0, drivers={"nvidia": {"hung": 0}})


def test_a_sample_that_changes_nothing_wakes_nobody_and_one_that_does_is_told_at_once():
    bench = Bench()
    assert bench.sampled(WELL) == 0
    assert bench.sampled(HUNG) == 1
    assert [(alert.rule, alert.state) for alert in bench.alerts()] == [("gpu_driver_hung", "firing")]
    assert bench.sampled(HUNG) == 1, "what is on is shown anew at each sample"
    assert bench.alerts() == []


def test_what_turned_is_told_later_when_the_nudge_was_lost():
    bench = Bench()
    bench.door.sampled(HUNG)
    bench.nudges.clear()
    bench.door.sampled(HUNG)
    assert len(bench.nudges) == 1
    bench.context.advance(LOOK_S)
    assert [alert.rule for alert in bench.alerts()] == ["gpu_driver_hung"], "by the actor's own timer, too"


def test_what_goes_wrong_with_a_sample_is_the_fault_of_the_actor_and_not_of_the_sampler():
    bench = Bench()
    assert bench.door.judge is not None
    bench.door.judge._signals.snapshot_is = lambda *_: 1 / 0
    bench.door.sampled(HUNG)
    with pytest.raises(ZeroDivisionError):
        bench.actor.on_message(bench.nudges[0])
    bench.actor.on_crash(ZeroDivisionError())
    bench.door.sampled(HUNG)
    assert len(bench.nudges) == 1, "while it restarts nobody is behind the door"
    bench.actor.on_start()
    bench.door.sampled(HUNG)
    assert len(bench.nudges) == 2
    assert isinstance(bench.nudges[1], Turned)


def test_an_actor_that_stopped_judges_nothing():
    bench = Bench()
    bench.actor.on_stop("done")
    bench.door.sampled(HUNG)
    assert bench.nudges == []
