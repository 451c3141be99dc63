"""The one step of the alerts: (rules, memory, samples, now) -> (memory, transitions). Pure, no I/O.

Three passes: every rule looks at every subject of its scope; alerts of removed subjects end; then the difference
between what is so and what the master heard becomes transitions. So an alert that waits (for its cause to end, or for
a storm to calm) is told later, if it still holds, and nothing is told twice.
"""

from collections.abc import Container, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from types import MappingProxyType

from .rule import OPERATORS, Figures, Kind, Rule, Rules
from .state import Alert, Bucket, Memory, Moment, Phase, Samples, Transition

FLAPS = 6
"""Turns within FLAP_WINDOW_S that make an alert flap."""
FLAP_WINDOW_S = 900.0
FLAP_QUIET_S = 600.0
"""Without a turn for so long it flaps no more."""
STORM_PER_S = 0.5
STORM_BURST = 30.0
"""Transitions of one rule that are told at once; then STORM_PER_S. Critical ones are always told."""
GAP_S = 30.0
"""Unknown for so long, what began before begins anew: nobody saw that it lasted."""
STORM_SCOPE = "rule"
REMOVED = "it is no longer there"

Found = dict[tuple[str, str], Alert]
Subjects = Mapping[str, Figures]
Fresh = Mapping[str, Mapping[str, AbstractSet[str]]]
NOBODY: Mapping[str, None] = MappingProxyType({})


def step(rules: Rules, memory: Memory, samples: Samples, now: Moment) -> tuple[Memory, tuple[Transition, ...]]:
    """One look."""
    found: Found = dict(memory.alerts)
    values = {STORM_SCOPE: _held_back(memory), **samples.values}
    remembered: dict[str, dict[str, None]] = {}  # in order: two runs of one history are to be the same
    for name, subject in memory.alerts:
        remembered.setdefault(name, {})[subject] = None
    for number in sorted(_due(rules, values, samples.fresh, remembered)):
        rule = rules.all[number]
        subjects, known = values.get(rule.scope), remembered.get(rule.name, NOBODY)
        fresh = None if samples.fresh is None else samples.fresh.get(rule.scope)
        if subjects and fresh is not None:
            # Of the others nothing is remembered, and the same figures as before would say the same.
            subjects = {name: subjects[name] for name in (*fresh, *known) if name in subjects}
        for subject, figures in _suspects(rule, subjects or {}, known):
            _look(found, rule, subject, figures, now)
    if found:
        _sweep(found, rules.by_name, samples, now)
    return _tell(found, rules.by_name, memory, now)


def _due(rules: Rules, values: Mapping[str, Subjects], fresh: Fresh | None, remembered: Iterable[str]) -> set[int]:
    """Rules that this look may change: one of their signals is another, or they remember something."""
    due = {rules.number[name] for name in remembered if name in rules.number}
    for scope, subjects in values.items():
        changed = None if fresh is None else fresh.get(scope)
        if changed is None:
            due.update(rules.of_scope.get(scope, ()) if subjects else ())
        elif changed:
            for signal in set().union(*changed.values()):
                due.update(rules.raised_by.get((scope, signal), ()))
    return due


def _held_back(memory: Memory) -> dict[str, Figures]:
    """How many transitions of each rule waited at the last look; 0 where a storm is over and its alert still on."""
    quiet = {alert.subject: 0 for alert in memory.alerts.values() if alert.scope == STORM_SCOPE}
    waiting = quiet | {name: bucket.held_back for name, bucket in memory.buckets.items()}
    return {name: {"held_back": count} for name, count in waiting.items()}


def firing(memory: Memory) -> tuple[Alert, ...]:
    """Every alert that is on, oldest first."""
    return tuple(sorted((alert for alert in memory.alerts.values() if alert.firing), key=lambda one: one.starts_at))


# -- one rule, one subject ---------------------------------------------------------------------------------------


def _suspects(rule: Rule, subjects: Subjects, remembered: Container[str]) -> list[tuple[str, Figures]]:
    """Those that a look may change: remembered, or the rule's first test holds. Of most there is neither, ever."""
    first = rule.when[0]
    signal, beyond, threshold = first.signal, OPERATORS[first.op], first.threshold
    return [
        (subject, figures)
        for subject, figures in subjects.items()
        if subject in remembered
        or ((value := figures.get(signal)) is not None and not isinstance(value, str) and beyond(value, threshold))
    ]


def _look(found: Found, rule: Rule, subject: str, figures: Figures, now: Moment) -> None:
    before = found.get((rule.name, subject))
    on = before is not None and before.firing
    bad = rule.still(figures) if on else rule.raised(figures)
    if bad is None or (before is None and not bad):
        return  # nothing known ends nothing; nothing wrong needs no memory
    if before is None:
        before = Alert(rule.name, rule.scope, subject, Phase.OVER, now.mono_s, now.mono_s, now.mono_s)
    if now.mono_s - before.seen_s > GAP_S:
        before = replace(before, since_s=now.mono_s, clear_since_s=None)
    seen = replace(before, seen_s=now.mono_s, value=rule.value(figures) if bad else before.value)
    after = _worse(rule, seen, figures, now) if bad else _better(rule, seen, now)
    if after is None:
        del found[before.identity]
    else:
        found[after.identity] = after


def _worse(rule: Rule, alert: Alert, figures: Figures, now: Moment) -> Alert:
    """The condition holds."""
    if alert.phase is Phase.OVER:
        alert = replace(alert, phase=Phase.PENDING, since_s=now.mono_s)
    if alert.phase is Phase.PENDING:
        if now.mono_s - alert.since_s < rule.for_s:
            return alert
        alert = _fire(alert, now)
    if alert.clear_since_s is not None:
        alert = replace(alert, clear_since_s=None, changed_s=now.mono_s)
    if alert.flapping and now.mono_s - alert.changed_s >= FLAP_QUIET_S:
        alert = replace(alert, flapping=False, flips=())
    if rule.raised(figures):  # between the two thresholds it goes on, but nothing new has happened
        count = alert.count + (max(1, int(alert.value or 1)) if rule.kind is not Kind.LEVEL else 0)
        alert = replace(alert, text=rule.say(alert.subject, figures), count=count)
    return alert


def _fire(alert: Alert, now: Moment) -> Alert:
    flips = _recent((*alert.flips, now.mono_s), now)
    return replace(
        alert,
        phase=Phase.FIRING,
        starts_at=now.wall_s,
        ends_at=None,
        flips=flips,
        flapping=len(flips) >= FLAPS,
        changed_s=now.mono_s,
        clear_since_s=None,
        count=0,
        boot_id=now.boot_id,
        told="" if alert.told == "resolved" else alert.told,
    )


def _better(rule: Rule, alert: Alert, now: Moment) -> Alert | None:
    """The condition does not hold."""
    if alert.phase is Phase.PENDING:
        return _over(replace(alert, phase=Phase.OVER), now)
    if alert.phase is Phase.OVER:
        return _over(alert, now)
    if rule.kind is Kind.STICKY and alert.boot_id == now.boot_id:
        return alert
    if alert.clear_since_s is None:
        alert = replace(alert, clear_since_s=now.mono_s, changed_s=now.mono_s)
    assert alert.clear_since_s is not None
    wanted_s = max(rule.keep_s, FLAP_QUIET_S) if alert.flapping else rule.keep_s
    return alert if now.mono_s - alert.clear_since_s < wanted_s else _end(alert, now)


def _end(alert: Alert, now: Moment) -> Alert:
    """It ends, or is found to flap and stays on."""
    if alert.flapping:
        return replace(alert, phase=Phase.OVER, ends_at=now.wall_s, flips=(), flapping=False)
    flips = _recent((*alert.flips, now.mono_s), now)
    if len(flips) >= FLAPS:
        return replace(alert, flips=flips, flapping=True)
    return replace(alert, phase=Phase.OVER, ends_at=now.wall_s, flips=flips)


def _recent(flips: tuple[float, ...], now: Moment) -> tuple[float, ...]:
    return tuple(flip for flip in flips if now.mono_s - flip < FLAP_WINDOW_S)[-FLAPS:]


def _over(alert: Alert, now: Moment) -> Alert | None:
    """Forgotten once its end is told and it cannot flap any more."""
    flips = _recent(alert.flips, now)
    return None if not flips and alert.told in {"", "resolved"} else replace(alert, flips=flips)


# -- what is gone ------------------------------------------------------------------------------------------------


def _sweep(found: Found, rules: Mapping[str, Rule], samples: Samples, now: Moment) -> None:
    """End what belongs to a rule or a subject that is no more, and what an earlier boot left."""
    for identity, alert in list(found.items()):
        rule = rules.get(alert.rule)
        gone = alert.scope in samples.whole and alert.subject not in samples.values.get(alert.scope, {})
        rebooted = rule is not None and rule.kind is Kind.STICKY and alert.boot_id != now.boot_id
        if rule is None or gone or (rebooted and alert.firing):
            ended = replace(alert, phase=Phase.OVER, ends_at=now.wall_s, flips=(), flapping=False, text=REMOVED)
            after = ended if alert.firing else _over(replace(ended, text=alert.text), now)
        elif alert.phase is Phase.OVER:
            after = _over(alert, now)
        else:
            continue
        if after is None:
            del found[identity]
        else:
            found[identity] = after


# -- what is told ------------------------------------------------------------------------------------------------


def _tell(
    found: Found, known: Mapping[str, Rule], memory: Memory, now: Moment
) -> tuple[Memory, tuple[Transition, ...]]:
    told: list[Transition] = []
    buckets: dict[str, Bucket] = {}
    waiting: dict[str, list[Alert]] = {}
    for alert in found.values():
        if _word(alert) != alert.told and not (alert.phase is Phase.OVER and not alert.told):
            waiting.setdefault(alert.rule, []).append(alert)
    if not waiting and not memory.buckets:
        return Memory(MappingProxyType(found), sequence=memory.sequence), ()
    for name in dict.fromkeys((*waiting, *memory.buckets)):
        bucket = _filled(memory.buckets.get(name), now)
        for alert in sorted(waiting.get(name, ()), key=lambda one: one.starts_at):
            rule = known.get(name)
            # What was told before its cause came stays told.
            if alert.phase is Phase.PENDING or (
                rule and alert.firing and not alert.told and causes(rule, alert, found)
            ):
                continue
            critical = rule is not None and rule.severity == "critical"
            if bucket.tokens < 1 and not critical:
                bucket = replace(bucket, held_back=bucket.held_back + 1)
                continue
            bucket = bucket if critical else replace(bucket, tokens=bucket.tokens - 1)
            told.append(_transition(alert, rule, memory.sequence + len(told) + 1))
            found[alert.identity] = replace(alert, told=_word(alert))
        if bucket.tokens < STORM_BURST:
            buckets[name] = bucket
    return Memory(MappingProxyType(found), MappingProxyType(buckets), memory.sequence + len(told)), tuple(told)


def _word(alert: Alert) -> str:
    """What the master should have heard of it."""
    if alert.phase is Phase.PENDING:
        return alert.told
    if alert.phase is Phase.OVER:
        return "resolved"
    return "flapping" if alert.flapping else "firing"


def _filled(bucket: Bucket | None, now: Moment) -> Bucket:
    if bucket is None:
        return Bucket(STORM_BURST, now.mono_s)
    tokens = min(STORM_BURST, bucket.tokens + (now.mono_s - bucket.at_s) * STORM_PER_S)
    return Bucket(tokens, now.mono_s)


def causes(rule: Rule, alert: Alert, found: Mapping[tuple[str, str], Alert]) -> str:
    """The rule that is the cause of this alert and fires now; empty when there is none."""
    for cause in rule.inhibited_by:
        if cause.same_subject:
            other = found.get((cause.rule, alert.subject))
            if other is not None and other.firing:
                return cause.rule
        elif any(other.firing and other.rule == cause.rule for other in found.values()):
            return cause.rule
    return ""


def _transition(alert: Alert, rule: Rule | None, sequence: int) -> Transition:
    return Transition(
        sequence=sequence,
        rule=alert.rule,
        scope=alert.scope,
        subject=alert.subject,
        severity="info" if rule is None else rule.severity,
        state="firing" if alert.firing else "resolved",
        starts_at=alert.starts_at,
        ends_at=alert.ends_at,
        value=alert.value,
        text=alert.text,
        flapping=alert.flapping,
    )
