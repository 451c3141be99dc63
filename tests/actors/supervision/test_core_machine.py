"""Any program of events keeps the invariants I1 to I14 of the core; I15 is the mailbox's machine.

The machine plays the children: they become ready, decline, end, hang, come back late or never, in any order, with
duplicates and stale timers between. The mailbox's promise (I15) has its own machine.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.supervision.backoff import base_delay_s
from actors.supervision.children import PENDING, Phase
from actors.supervision.effects import Abandon, Report, SendStop, Spawn
from actors.supervision.messages import DeleteChild, ReplaceSpecs, RestartChild, StartChild, StopChild
from actors.supervision.plan import Mode
from actors.supervision.signals import Down, Due, Hung, Ignored, Kind, Ready, Recovered, Request, TimerFired
from actors.supervision.spec import AutoShutdown, Backoff, Limit, LimitAction, Restart, Strategy
from tests.actors.supervision.driver import Driver, child

NAMES = ["a", "b", "c", "d", "e"]
ENDS = [kind for kind in Kind if kind is not Kind.ABANDONED]
ACTIVE = {Phase.STARTING, Phase.RUNNING, Phase.WEDGED}
EVENTS_TO_END = 400
BACKOFF = Backoff(min_s=0.5, max_s=8.0, jitter=0.3, reset_after_s=30.0)


@st.composite
def specs(draw, name, rule_):
    restart = draw(st.sampled_from(Restart))
    may = restart is not Restart.PERMANENT and rule_ is not AutoShutdown.NEVER
    limit = draw(st.sampled_from([None, None, Limit(2, 60.0), Limit(1, 60.0, LimitAction.ESCALATE)]))
    return child(
        name,
        restart=restart,
        significant=may and draw(st.booleans()),
        limit=limit,
        backoff=BACKOFF,
        shutdown_s=draw(st.sampled_from([1.0, 5.0])),
        abandon_now=draw(st.sampled_from([False, False, False, True])),
    )


class CoreMachine(RuleBasedStateMachine):
    @initialize(data=st.data(), strategy=st.sampled_from(Strategy), rule_=st.sampled_from(AutoShutdown))
    def boot(self, data, strategy, rule_):
        count = data.draw(st.integers(0, 4))
        children = [data.draw(specs(name, rule_)) for name in NAMES[:count]]
        intensity = data.draw(st.integers(0, 4))
        self.driver = Driver(
            *children, obedient=False, strategy=strategy, auto_shutdown=rule_, intensity=intensity, period_s=60.0
        )
        self.core = self.driver.core
        self.strategy, self.rule = strategy, rule_
        self.living, self.left, self.gone = {}, set(), []
        self.last, self.entries, self.downs = {}, {}, set()
        self.askers, self.reordered = [], False
        original = self.core.handle
        self.core.handle = lambda event, now: self.check(event, original(event, now))
        self.driver.boot()

    # -- what every decision has to keep ---------------------------------------------------------------------

    def check(self, event, effects):
        for effect in effects:
            match effect:
                case Spawn():
                    self.spawned(effect)
                case SendStop():
                    self.asked_to_stop(effect)
                case Abandon():
                    key = (effect.id, effect.incarnation)
                    self.left.add(key)
                    self.living.pop(effect.id, None)
                case Report(kind="down"):
                    key = (effect.id, effect.incarnation)
                    assert key not in self.downs, "I3: a second Down was consumed"
                    self.downs.add(key)
                case Report(kind="restarting"):
                    self.delay(effect)
        return effects

    def spawned(self, effect):
        name = effect.spec.id
        assert name not in self.living, "I1: two incarnations that may act"
        assert effect.incarnation > self.last.get(name, 0), "I2: the incarnation did not grow"
        assert self.core.mode not in {Mode.ENDING, Mode.ENDED}, "I7: started while ending"
        self.last[name] = effect.incarnation
        self.living[name] = effect.incarnation
        entry = self.core.children.get(name)
        if entry is not None and entry.spec.restart is Restart.TEMPORARY:
            self.entries[name] = self.entries.get(name, 0) + 1

    def asked_to_stop(self, effect):
        """I5: while ending, a static group is stopped from its end."""
        if self.core.mode is Mode.ENDING and self.strategy is not Strategy.DYNAMIC:
            order = list(self.core.children)
            if effect.id in order:
                later = order[order.index(effect.id) + 1 :]
                assert not [name for name in later if self.core.children[name].phase in ACTIVE], "I5"

    def delay(self, effect):
        found = self.core.children.get(effect.id)
        if found is not None:
            base = base_delay_s(BACKOFF, found.failures)
            assert (1 - BACKOFF.jitter) * base - 1e-9 <= effect.next_try_s <= base <= BACKOFF.max_s, "I11"

    def feed(self, event):
        name = getattr(event, "id", None)
        found = self.core.children.get(name)
        before = None
        if found is not None and found.incarnation == getattr(event, "incarnation", None):
            before = (found, found.phase, name in self.core.plan.to_stop, self.core.mode)
        if isinstance(event, Down | Ignored) and self.living.get(name) == event.incarnation:
            del self.living[name]
            self.gone.append(event)
        effects = self.driver.send(event)
        if before is not None and isinstance(event, Down):
            self.after_end(event, before, effects)
        return effects

    def after_end(self, event, before, effects):
        found, phase, planned, mode = before
        by_itself = phase in {Phase.RUNNING, Phase.WEDGED} and not planned and mode is not Mode.ENDING
        if not by_itself:
            return
        for_good = found.phase not in PENDING and not found.alive
        orderly = event.kind.orderly
        if found.spec.restart is Restart.TRANSIENT and orderly:
            assert for_good, "I9: a transient child in good order was restarted"
        if found.spec.restart is Restart.TEMPORARY:
            assert for_good, "I8: a temporary child was restarted"
            assert event.id not in self.core.children
        fired = any(isinstance(effect, Report) and effect.kind == "auto_shutdown" for effect in effects)
        escalated = any(isinstance(effect, Report) and effect.kind == "limit" for effect in effects)
        others = any(
            other.spec.significant and (other.alive or other.phase in PENDING)
            for other in self.core.children.values()
            if other is not found
        )
        expected = {
            AutoShutdown.NEVER: False,
            AutoShutdown.ANY_SIGNIFICANT: True,
            AutoShutdown.ALL_SIGNIFICANT: fired if self.core.mode is not Mode.RUNNING else not others,
        }[self.rule]
        assert fired == (expected and found.spec.significant and for_good and not escalated), "I13"

    # -- what children do ------------------------------------------------------------------------------------

    def one(self, data, names):
        return data.draw(st.sampled_from(sorted(names)))

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def ready(self, data):
        name = self.one(data, self.living)
        self.feed(Ready(name, self.living[name]))

    @precondition(lambda self: self.living)
    @rule(data=st.data(), kind=st.sampled_from(ENDS))
    def ends(self, data, kind):
        name = self.one(data, self.living)
        self.feed(Down(name, self.living[name], kind, "any"))

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def declines(self, data):
        name = self.one(data, self.living)
        if self.core.children[name].phase in {Phase.STARTING, Phase.STOPPING}:
            self.feed(Ignored(name, self.living[name]))

    @precondition(lambda self: self.living)
    @rule(data=st.data(), back=st.booleans())
    def hangs(self, data, back):
        name = self.one(data, self.living)
        life = self.living[name]
        self.feed(Hung(name, life, "Message", 99.0))
        if back:
            self.feed(Recovered(name, life))

    # -- what is late, doubled or stale ----------------------------------------------------------------------

    @precondition(lambda self: self.left)
    @rule(data=st.data())
    def an_abandoned_one_comes_back(self, data):
        name, life = self.one(data, self.left)
        before = self.snapshot()
        self.feed(Down(name, life, Kind.CRASH, "late"))
        if self.living.get(name) != life:
            assert self.snapshot() == before, "a late Down changed something"

    @precondition(lambda self: self.gone)
    @rule(data=st.data())
    def a_down_comes_twice(self, data):
        event = data.draw(st.sampled_from(self.gone))
        before = self.snapshot()
        self.driver.send(event)
        assert self.snapshot() == before, "a second Down changed something"

    @rule(name=st.sampled_from(NAMES), due=st.sampled_from(Due), age=st.integers(1, 5))
    def a_stale_timer(self, name, due, age):
        found = self.core.children.get(name)
        before = self.snapshot()
        self.driver.send(TimerFired(name, due, found.epoch - age if found else age))
        assert self.snapshot() == before, "a stale timer changed something"

    def snapshot(self):
        core = self.core
        children = [
            (name, found.phase, found.incarnation, found.epoch, found.failures) for name, found in core.children.items()
        ]
        return core.mode, children, tuple(core.window.times)

    # -- what time and people do -----------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.2, 1.0, 5.0, 30.0, 60.0, 1e6]))
    def time_passes(self, seconds):
        self.driver.advance(seconds)

    def ask(self, message, number=0):
        asker = object()
        self.askers.append(asker)
        self.feed(Request(message, asker, number))

    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def starts_a_child(self, data, name):
        self.ask(StartChild(data.draw(specs(name, self.rule))), self.last.get(name, 0))

    @rule(name=st.sampled_from(NAMES), kind=st.sampled_from([StopChild, RestartChild, DeleteChild]))
    def administers(self, name, kind):
        self.ask(kind(name))

    @rule(data=st.data(), names=st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    def replaces_specs(self, data, names):
        known = {name: found.spec for name, found in self.core.children.items()}
        keep = st.booleans()
        children = [
            known[name] if name in known and data.draw(keep) else data.draw(specs(name, self.rule)) for name in names
        ]
        if not any(name in self.last and name not in known for name in names):
            self.reordered = True
            self.ask(ReplaceSpecs(tuple(children)))

    @rule()
    def shuts_down(self):
        self.driver.shutdown()

    # -- what holds at all times -----------------------------------------------------------------------------

    @invariant()
    def the_window_is_kept(self):
        if self.core.mode in {Mode.RUNNING, Mode.BOOTING}:
            assert len(self.core.window.times) <= self.core.spec.intensity, "I6"

    @invariant()
    def a_restart_waits_for_exactly_one_timer(self):
        live = [
            fired.id
            for _, _, fired in self.driver.timers
            if fired.due is Due.RESTART
            and (found := self.core.children.get(fired.id)) is not None
            and found.epoch == fired.epoch
        ]
        waiting = [name for name, found in self.core.children.items() if found.phase is Phase.BACKOFF]
        assert sorted(live) == sorted(waiting), "I10"

    @invariant()
    def a_planned_start_waits_for_those_before(self):
        """I4: while the plan starts a child, nobody before it still has to be started by the plan.

        New specs may put somebody before the one that is starting just then.
        """
        starting = self.core.plan.starting
        if starting is None:
            self.reordered = False
        elif not self.reordered:
            order = list(self.core.children)
            before = order[: order.index(starting)]
            assert not self.core.plan.to_start & set(before), "I4"
            assert self.core.children[starting].phase is Phase.STARTING
            assert not self.core.plan.to_stop - {starting} or starting not in self.core.plan.to_stop

    @invariant()
    def the_living_are_those_of_the_table(self):
        alive = {name: found.incarnation for name, found in self.core.children.items() if found.alive}
        assert alive == self.living, "an incarnation was lost or invented"

    @invariant()
    def nobody_waits_for_nothing(self):
        if self.core.mode is Mode.RUNNING and not self.core.plan.waits and not self.core.plan.to_stop:
            stuck = [name for name, found in self.core.children.items() if found.phase is Phase.WAITING]
            assert not stuck, "a child waits for a group that is not restarting"

    def teardown(self):
        """I12 and I14: the end comes within a bounded number of events, although no child ever answers."""
        if not hasattr(self, "driver"):
            return
        self.driver.shutdown()
        for _ in range(EVENTS_TO_END):
            if self.core.mode is Mode.ENDED:
                break
            self.driver.advance(10.0)
        assert self.core.mode is Mode.ENDED, "I12"
        assert self.driver.finished is not None
        assert not self.living
        unanswered = [asker for asker in self.askers if self.driver.reply(asker) is None]
        assert not unanswered, "I14"


CoreMachine.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCoreMachine = CoreMachine.TestCase
