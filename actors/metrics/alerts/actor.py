"""The alert actor: has each sample and fact judged as it comes, and tells the master at once what turned.

What it remembers is in the journal before the master hears of it, so a restart neither raises again nor forgets.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from actors.clock import WallClock, milliseconds
from actors.facts import AlertFacts, AlertsChanged, EnginesChanged, LinkChanged
from actors.journal import messages as journal
from actors.supervision.actor import Actor
from actors.supervision.errors import SupervisionError
from actors.supervision.handle import Handle
from config.metrics import MetricsSettings
from protocol.messages.reports import Alert as AlertMessage

from .judge import Door, Judge, Turned
from .rule import Rule, Rules
from .state import Alert, Memory, Moment, Transition, decode, encode, fingerprint
from .step import causes, firing

STATE_KEY = "alerts"
JOURNAL_S = 10.0
LOOK_S = 1.0
"""Between two looks without any news: `for` and `keep` go on, and a sampler that fell silent is seen."""
SAMPLED_LOOK_S = 10.0
"""The same while samples come: each of them is a look."""
STALE_S = 30.0
TEXT_MAX_CHARS = 4_096
SHORT_MAX_CHARS = 256
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


class _Look:
    """To itself: time has passed."""


class AlertsActor(Actor):
    """See the module. `node` names this machine in fingerprints; samples come in at the door."""

    def __init__(
        self,
        *,
        settings: MetricsSettings,
        rules: Sequence[Rule],
        node: str,
        journal_handle: Handle,
        observers: Sequence[Handle],
        wall: WallClock,
        door: Door,
    ) -> None:
        off = set(settings.alerts_off)
        self._settings, self._rules = settings, Rules(tuple(rule for rule in rules if rule.name not in off))
        self._node, self._journal, self._observers, self._wall = node, journal_handle, tuple(observers), wall
        self._door, self._memory = door, Memory()
        self._shown: tuple[AlertFacts, ...] = ()
        self._log = structlog.get_logger().bind(actor="alerts")

    def on_start(self) -> object:
        """Take up what was on before; time that passed without a daemon counts for nothing."""
        self._boot_id = _boot_id()
        raw = self._journal.call(journal.GetState(STATE_KEY), timeout_s=JOURNAL_S)
        try:
            self._memory = decode(raw if isinstance(raw, bytes) else None, self._moment())
        except ValueError as error:
            self._log.error("alerts.unreadable", why=str(error))
        self._judge = Judge(self._settings, self._rules, self._moment, self.context.lock(), self._memory)
        self._door.judge = self._judge
        self._show()
        self.context.after(LOOK_S, _Look())
        return None

    def on_stop(self, reason: str) -> None:
        """Nobody judges what nobody would tell."""
        del reason
        self._door.judge = None

    def on_crash(self, cause: BaseException) -> None:
        """The same."""
        del cause
        self._door.judge = None

    def on_message(self, message: object) -> object:
        """News, or time. Only what is news is looked at, and with time what waits for it."""
        match message:
            case Turned():
                pass
            case EnginesChanged():
                self._judge.engines_are(message)
            case LinkChanged():
                self._judge.link_is(message)
            case _Look():
                quiet = self.context.now() - self._judge.sampled_s >= LOOK_S
                self.context.after(LOOK_S if quiet else SAMPLED_LOOK_S, message)
                self._judge.time_passed()
            case _:
                self.context.unhandled(message)
                return None
        self._take()
        return None

    def _take(self) -> None:
        """Save, tell and show what turned."""
        self._memory, turned = self._judge.take()
        if turned:
            self._save(self._moment())
        for transition in turned:
            self._told(transition)
        self._show()

    def _save(self, now: Moment) -> None:
        """What is only pending is not worth the disk: after a restart it begins anew."""
        kept = {identity: alert for identity, alert in self._memory.alerts.items() if alert.told or alert.firing}
        self._tell(self._journal, journal.PutState(STATE_KEY, encode(replace(self._memory, alerts=kept), now)))

    def _told(self, transition: Transition) -> None:
        write = self._log.warning if transition.state == "firing" else self._log.info
        write("alert", rule=transition.rule, subject=transition.subject, state=transition.state, text=transition.text)
        self._tell(self._journal, journal.Deliver(self._message(transition)))

    def _message(self, transition: Transition) -> AlertMessage:
        return AlertMessage(
            fingerprint=fingerprint(self._node, transition.rule, transition.scope, transition.subject),
            sequence=transition.sequence,
            rule=transition.rule,
            severity=transition.severity,
            state=transition.state,
            starts_at_ms=milliseconds(transition.starts_at),
            ends_at_ms=None if transition.ends_at is None else milliseconds(transition.ends_at),
            labels={transition.scope: transition.subject[:SHORT_MAX_CHARS]},
            value=_finite(transition.value),
            text=transition.text[:TEXT_MAX_CHARS],
            flapping=transition.flapping,
            boot_id=self._boot_id,
        )

    def _show(self) -> None:
        """Tell the observers when the set of alerts that are on has changed, or whether they are known."""
        now_s = self.context.now()
        shown = tuple(self._facts(alert, now_s) for alert in firing(self._memory) if alert.rule in self._rules.by_name)
        if shown != self._shown:
            self._shown = shown
            for observer in self._observers:
                self._tell(observer, AlertsChanged(shown))

    def _facts(self, alert: Alert, now_s: float) -> AlertFacts:
        rule = self._rules.by_name[alert.rule]
        return AlertFacts(
            fingerprint=fingerprint(self._node, alert.rule, alert.scope, alert.subject),
            rule=alert.rule,
            severity=rule.severity,
            subject=alert.subject,
            labels=((alert.scope, alert.subject),),
            starts_at=alert.starts_at,
            value=_finite(alert.value),
            text=alert.text,
            do=rule.do,
            count=alert.count,
            flapping=alert.flapping,
            stale=now_s - alert.seen_s > STALE_S,
            follows_from=causes(rule, alert, self._memory.alerts),
        )

    def _moment(self) -> Moment:
        return Moment(self.context.now(), self._wall(), self._boot_id)

    def _tell(self, handle: Handle, message: object) -> None:
        try:
            handle.tell(message)
        except SupervisionError as error:
            self._log.warning("not_told", to=handle.path, why=str(error))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _boot_id() -> str:
    try:
        return BOOT_ID_FILE.read_text(encoding="ascii").strip()
    except OSError:
        return ""
