"""What must hold in the supervision itself, checked after every event of every supervisor of a running world.

The numbers are those of the core's machine (tests/actors/supervision/test_core_machine.py): there a pure core meets
made-up events, here the daemon's own tree meets the real ones, with its incarnations, timers and mailboxes.
"""

from collections import Counter
from weakref import WeakKeyDictionary

from actors.supervision.children import Phase
from actors.supervision.effects import Spawn
from actors.supervision.handle import Handle
from actors.supervision.plan import Mode
from actors.supervision.signals import Down, Ignored
from actors.supervision.supervisor import SupervisorBehaviour
from tests.simulation.group_rules import GroupRules
from tests.simulation.mail import Mail

LATE_S = 1.0
ASKS_KEPT = 500


class Invariants:
    """Watches every supervisor and every ask while a world runs; `wrong` is told in a sentence."""

    def __init__(self, wrong):
        self._wrong = wrong
        self._feed, self._do, self._ask = SupervisorBehaviour._feed, SupervisorBehaviour._do, Handle.ask
        self.checked = 0
        self.jumped_at = 0.0
        """When time last jumped: what was due meanwhile is late through no fault of the supervision."""
        self._asked, self._ended, self._numbers = [], WeakKeyDictionary(), WeakKeyDictionary()
        self._group, self._mail = GroupRules(self._need), Mail(self._need)

    def __enter__(self):
        watch, feed, do, ask = self, self._feed, self._do, self._ask

        def fed(behaviour, signal):
            before = watch.before(behaviour, signal)
            feed(behaviour, signal)
            watch.after(behaviour, signal, before)

        def done(behaviour, effect):
            if isinstance(effect, Spawn):
                watch.spawned(behaviour, effect)
            watch._group.effect(behaviour, effect)
            do(behaviour, effect)

        def asked(handle, message, **options):
            future = ask(handle, message, **options)
            watch.promised(future)
            return future

        SupervisorBehaviour._feed, SupervisorBehaviour._do, Handle.ask = fed, done, asked
        self._mail.__enter__()
        return self

    def __exit__(self, *_):
        self._mail.__exit__()
        SupervisorBehaviour._feed, SupervisorBehaviour._do, Handle.ask = self._feed, self._do, self._ask

    def new_process(self):
        """Nothing of the process before counts any more."""
        self._asked, self._ended, self._numbers = [], WeakKeyDictionary(), WeakKeyDictionary()
        self._group.new_process()
        self._mail.new_process()

    # -- events ----------------------------------------------------------------------------------------------

    def before(self, behaviour, signal):
        """I3: one end of each incarnation. A path that nobody holds any more begins anew, with its numbers."""
        cell = behaviour._cells.get(signal.id) if isinstance(signal, Down | Ignored) else None
        if cell is not None:
            ended = self._ended.setdefault(cell, set())
            self._need(signal.incarnation not in ended, f"I3: a second end of {cell.path}#{signal.incarnation}")
            ended.add(signal.incarnation)
        return self._group.before(behaviour, signal)

    def spawned(self, behaviour, effect):
        """I2 and I7: incarnations grow, and nothing starts while the supervisor ends."""
        path = f"{behaviour._me.cell.path}/{effect.spec.id}"
        cell = behaviour._cell(effect.spec.id)
        before = self._numbers.get(cell, 0)  # a path that nobody holds any more begins anew
        self._need(effect.incarnation > before, f"I2: {path}#{effect.incarnation} after #{before}")
        self._need(behaviour.core.mode not in {Mode.ENDING, Mode.ENDED}, f"I7: {path} starts while its group ends")
        self._numbers[cell] = effect.incarnation

    def after(self, behaviour, signal, before):
        """The rest, of this supervisor's children."""
        self.checked += 1
        self._group.after(behaviour, signal, before)
        core, me = behaviour.core, behaviour._me
        now, ending = me.runtime.now(), core.mode in {Mode.ENDING, Mode.ENDED}
        acting = Counter(id(one.cell) for one in tuple(me.services.live.values()) if not one.fenced)
        within = core.window.within(now)
        self._need(ending or within <= core.spec.intensity, f"I6: {me.cell.path} outlived {within} failures")
        for name, child in core.children.items():
            path, cell = f"{me.cell.path}/{name}", behaviour._cells.get(name)
            self._need(cell is None or acting[id(cell)] <= 1, f"I1: {acting[id(cell)]} of {path} may act")
            self._need(core.mode is not Mode.ENDED or not child.alive, f"I7: {path} outlives its group")
            if cell is not None and cell.current is not None:
                self._need(cell.current.number == child.incarnation, f"I1: {path} is not who its supervisor means")
            if child.phase is Phase.BACKOFF:
                self._restart_is_due(path, child, behaviour._timers.get(name), now)

    def _restart_is_due(self, path, child, timer, now):
        """I10 and I11: whoever waits has one live timer, and not for longer than its spec allows."""
        self._need(timer is not None and timer.live, f"I10: nothing will start {path} again")
        if timer is not None:
            late = max(timer.due_at, self.jumped_at) < now - LATE_S
            self._need(not late, f"I10: the restart of {path} is overdue")
            self._need(timer.due_at <= now + child.spec.backoff.max_s + LATE_S, f"I11: {path} waits beyond its cap")

    # -- asks ------------------------------------------------------------------------------------------------

    def promised(self, future):
        """Remember an ask until it is settled."""
        self._asked.append(future)
        if len(self._asked) > ASKS_KEPT:
            self._asked = [one for one in self._asked if not one.done()]

    def at_rest(self, now):
        """I14: when nothing happens any more, every ask has its end."""
        left = {one.target.path for one in self._asked if not one.done() and one.deadline < now}
        self._need(not left, f"I14: asks without an end, of {sorted(left)}")
        self._mail.at_rest()

    def _need(self, good, text):
        if not good:
            self._wrong(text)
