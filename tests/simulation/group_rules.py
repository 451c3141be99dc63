"""The rules of a supervisor's group in a running tree: I4, I5, I8, I9, I12 and I13 of the core's machine."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from actors.supervision.children import PENDING, Phase
from actors.supervision.effects import Report, SendStop
from actors.supervision.plan import Mode
from actors.supervision.signals import Down
from actors.supervision.spec import AutoShutdown, Restart, Strategy

EVENTS_TO_END = 400
"""A group that ends takes no more of them, whatever its children do."""
ACTIVE = frozenset({Phase.STARTING, Phase.RUNNING, Phase.WEDGED})


@dataclass(frozen=True)
class Before:
    """What a child was when its end came: `by_itself` unless somebody wanted it to end."""

    child: object
    by_itself: bool


class GroupRules:
    """Told of each event and effect of each supervisor; `need(good, text)` says what is wrong."""

    def __init__(self, need):
        self._need = need
        self.new_process()

    def new_process(self):
        """Nothing of the process before counts any more."""
        self._effects, self._ending = {}, WeakKeyDictionary()

    def before(self, behaviour, signal):
        """An event comes; what `after` needs to know of the time before it."""
        self._effects[behaviour] = []
        core = behaviour.core
        child = core.children.get(signal.id) if isinstance(signal, Down) else None
        if child is None or child.incarnation != signal.incarnation or not child.alive:
            return None
        running = child.phase in {Phase.RUNNING, Phase.WEDGED} and signal.id not in core.plan.to_stop
        return Before(child, running and core.mode is not Mode.ENDING)

    def effect(self, behaviour, effect):
        """I5: a static group that ends is stopped from its end."""
        self._effects.setdefault(behaviour, []).append(effect)
        core = behaviour.core
        if not isinstance(effect, SendStop) or core.mode is not Mode.ENDING or core.spec.strategy is Strategy.DYNAMIC:
            return
        order = list(core.children)
        later = order[order.index(effect.id) + 1 :]
        left = [name for name in later if core.children[name].phase in ACTIVE]
        self._need(not left, f"I5: {behaviour._me.cell.path}/{effect.id} is stopped before {left}")

    def after(self, behaviour, signal, before):
        """What must hold once the event has been dealt with."""
        effects = self._effects.pop(behaviour, [])
        self._starts_in_order(behaviour)
        self._comes_to_its_end(behaviour)
        if before is not None and before.by_itself:
            self._ended_by_itself(behaviour, signal, before.child, effects)

    def _starts_in_order(self, behaviour):
        """I4: while the plan starts a child, nobody before it still has to be started."""
        core = behaviour.core
        starting = core.plan.starting
        if starting is not None:
            order = list(core.children)
            early = core.plan.to_start & set(order[: order.index(starting)])
            self._need(not early, f"I4: {behaviour._me.cell.path}/{starting} starts before {sorted(early)}")

    def _comes_to_its_end(self, behaviour):
        """I12: the end of a group comes within so many events."""
        if behaviour.core.mode is Mode.ENDING:
            events = self._ending[behaviour] = self._ending.get(behaviour, 0) + 1
            self._need(events <= EVENTS_TO_END, f"I12: {behaviour._me.cell.path} does not come to its end")

    def _ended_by_itself(self, behaviour, down, child, effects):
        """I8, I9 and I13: who ended by itself is restarted, or ends its group, exactly if its spec says so."""
        core, path = behaviour.core, f"{behaviour._me.cell.path}/{down.id}"
        for_good = child.phase not in PENDING and not child.alive
        restart = child.spec.restart
        self._need(restart is not Restart.TEMPORARY or for_good, f"I8: {path} is temporary and was restarted")
        orderly = restart is Restart.TRANSIENT and down.kind.orderly
        self._need(not orderly or for_good, f"I9: {path} is transient, ended in good order and was restarted")
        kinds = {effect.kind for effect in effects if isinstance(effect, Report)}
        if "limit" not in kinds and core.mode is not Mode.ENDED:
            expected = for_good and child.spec.significant and _ends_group(core, child)
            self._need(("auto_shutdown" in kinds) == expected, f"I13: {path} ended, auto_shutdown: {not expected}")


def _ends_group(core, child):
    others = [other for other in core.children.values() if other is not child and other.spec.significant]
    last = not any(other.alive or other.phase in PENDING for other in others)
    rule = core.spec.auto_shutdown
    return rule is AutoShutdown.ANY_SIGNIFICANT or (rule is AutoShutdown.ALL_SIGNIFICANT and last)
