"""What a rule is: data that is checked when it is made. Pure, no I/O."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from string import Formatter
from types import MappingProxyType
from typing import Literal

from .signals import SIGNALS

Severity = Literal["info", "warning", "critical"]
Op = Literal[">", ">=", "<", "<=", "==", "!="]
Value = str | int | float | bool | None
Figures = Mapping[str, Value]
"""Signal -> value; a signal that is absent or None is not known now."""

OPERATORS: Mapping[Op, Callable[[float, float], bool]] = MappingProxyType(
    {
        ">": operator.gt,
        ">=": operator.ge,
        "<": operator.lt,
        "<=": operator.le,
        "==": operator.eq,
        "!=": operator.ne,
    }
)
SUBJECT = "subject"
"""The word of a text that stands for what the alert is about."""


class RuleError(ValueError):
    """A rule that says nothing sensible: which rule, and why."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(f"alert rule {rule}: {why}")
        self.rule, self.why = rule, why


class Kind(StrEnum):
    """How an alert ends."""

    LEVEL = "level"
    """When its condition has been clear for `keep_s`."""
    EVENT = "event"
    """After `keep_s` without a further occurrence; occurrences are counted."""
    STICKY = "sticky"
    """With the next boot of the machine: nothing that happens before makes it good."""


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison; an unknown signal is neither true nor false."""

    signal: str
    op: Op
    threshold: float

    def holds(self, figures: Figures) -> bool | None:
        """None when the signal is not known now."""
        value = figures.get(self.signal)
        if value is None or isinstance(value, str):
            return None
        return OPERATORS[self.op](value, self.threshold)

    def __str__(self) -> str:
        return f"{self.signal} {self.op} {self.threshold:g}"


@dataclass(frozen=True, slots=True)
class Inhibition:
    """While `rule` fires, this one's alerts are not told: they follow from it. Cause, never likeness."""

    rule: str
    same_subject: bool = True
    """Only where both are about the same subject."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule for every subject of its scope. All of `when` raise it; any of `clear` ends it."""

    name: str
    scope: str
    severity: Severity
    when: tuple[Test, ...]
    text: str
    """For people; {subject} and every signal of the scope may stand in it."""
    do: str
    """What to do about it."""
    clear: tuple[Test, ...] = ()
    """Empty: it ends when `when` does not hold any more."""
    kind: Kind = Kind.LEVEL
    for_s: float = 0.0
    """The condition holds at every look for so long before the alert fires."""
    keep_s: float = 0.0
    """The condition is clear for so long before the alert ends."""
    inhibited_by: tuple[Inhibition, ...] = ()
    raised_by: frozenset[str] = field(init=False, repr=False, compare=False)
    """Signals of `when`: while none of them changes, what is not raised stays so."""
    words: tuple[str, ...] = field(init=False, repr=False, compare=False)
    """What stands in the text in braces."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "raised_by", frozenset(test.signal for test in self.when))
        object.__setattr__(self, "words", tuple(name for _, name, _, _ in Formatter().parse(self.text) if name))
        if self.scope not in SIGNALS:
            raise RuleError(self.name, f"no scope {self.scope!r}; there are: {', '.join(SIGNALS)}")
        if not self.when:
            raise RuleError(self.name, "nothing raises it")
        if self.for_s < 0 or self.keep_s < 0:
            raise RuleError(self.name, "a time below zero")
        if self.kind is Kind.STICKY and self.clear:
            raise RuleError(self.name, "a sticky alert has no other end than a boot")
        known = SIGNALS[self.scope]
        for signal in (*(test.signal for test in (*self.when, *self.clear)), *self.words):
            if signal != SUBJECT and signal not in known:
                raise RuleError(self.name, f"the scope {self.scope} has no signal {signal!r}")
        self._agrees()

    def _agrees(self) -> None:
        """A value that raises and ends at once would turn at every look."""
        for test in self.when:
            for end in self.clear:
                if test.signal == end.signal and _overlap(test, end):
                    raise RuleError(self.name, f"{test} and {end} can hold at once")

    def raised(self, figures: Figures) -> bool | None:
        """Whether the condition holds: False as soon as one part is false, None when the rest is not known."""
        known = True
        for test in self.when:
            verdict = test.holds(figures)
            if verdict is False:
                return False
            known = known and verdict is not None
        return True if known else None

    def still(self, figures: Figures) -> bool | None:
        """Whether a firing alert goes on: False when any end holds, None when that is not known."""
        if not self.clear:
            return self.raised(figures)
        verdicts = [test.holds(figures) for test in self.clear]
        if True in verdicts:
            return False
        return None if None in verdicts else True

    def value(self, figures: Figures) -> float | None:
        """The value of the first signal that raises it."""
        value = figures.get(self.when[0].signal)
        return None if value is None or isinstance(value, str) else float(value)

    def say(self, subject: str, figures: Figures) -> str:
        """The text with its values; one that is not known is a question mark."""
        known = {name: _plain(figures.get(name)) for name in self.words}
        return self.text.format_map(known | {SUBJECT: subject})


@dataclass(frozen=True)
class Rules:
    """Rules in their order, causes before what follows from them, and which of them a signal may raise."""

    all: tuple[Rule, ...]
    by_name: Mapping[str, Rule] = field(init=False, repr=False, compare=False)
    number: Mapping[str, int] = field(init=False, repr=False, compare=False)
    """Name -> place in the order."""
    of_scope: Mapping[str, tuple[int, ...]] = field(init=False, repr=False, compare=False)
    raised_by: Mapping[tuple[str, str], tuple[int, ...]] = field(init=False, repr=False, compare=False)
    """Scope and signal -> rules that speak of it in `when`."""

    def __post_init__(self) -> None:
        of_scope: dict[str, tuple[int, ...]] = {}
        raised_by: dict[tuple[str, str], tuple[int, ...]] = {}
        for number, rule in enumerate(self.all):
            of_scope[rule.scope] = (*of_scope.get(rule.scope, ()), number)
            for signal in rule.raised_by:
                raised_by[rule.scope, signal] = (*raised_by.get((rule.scope, signal), ()), number)
        object.__setattr__(self, "by_name", {rule.name: rule for rule in self.all})
        object.__setattr__(self, "number", {rule.name: number for number, rule in enumerate(self.all)})
        object.__setattr__(self, "of_scope", of_scope)
        object.__setattr__(self, "raised_by", raised_by)


def _overlap(test: Test, end: Test) -> bool:
    """Whether one value fulfils both; only the four orders are looked at."""
    pair = test.op[0] + end.op[0]
    if pair in {">>", "<<"}:
        return True
    if pair not in {"><", "<>"}:
        return False
    low, high = (test, end) if test.op[0] == ">" else (end, test)
    return low.threshold < high.threshold or (low.threshold == high.threshold and "=" in low.op and "=" in high.op)


def _plain(value: Value) -> str:
    if value is None:
        return "?"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)


def checked(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """The rules, when together they make sense: names are unique and every inhibition names another rule."""
    names = [rule.name for rule in rules]
    for rule in rules:
        if names.count(rule.name) > 1:
            raise RuleError(rule.name, "there are two of this name")
        for cause in rule.inhibited_by:
            if cause.rule not in names or cause.rule == rule.name:
                raise RuleError(rule.name, f"it is inhibited by {cause.rule!r}, which is no other rule")
    return rules
