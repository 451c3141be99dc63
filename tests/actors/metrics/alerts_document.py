"""Writes docs/alerts.md from the rules: `python -m tests.actors.metrics.alerts_document > docs/alerts.md`."""

from actors.metrics.alerts import step
from actors.metrics.alerts.rule import Kind, Rule
from actors.metrics.alerts.rules import DEFAULT_RULES
from actors.metrics.alerts.signals import SIGNALS

HEAD = f"""\
# Alerts

Written from the rules by `tests/actors/metrics/alerts_document.py`; a test keeps it current.

An alert is one rule and one subject. It fires when its condition has held at every look for `for`, and ends when the
condition has been clear for `keep`; the value that clears it lies apart from the one that raises it. What is not known
ends nothing: the alert stays on, marked as not known. An event is counted and ends after `keep` without another; a
sticky alert ends with the next boot of the machine.

The agent looks at each sample and each change of an engine as it comes, and every few seconds without any, so an alert
without `for`
leaves with the fact that shows it. Each transition is a durable message `alert`; every report names the alerts that
are on. The set is in the journal: a restart of the daemon neither raises an alert again nor forgets one.

An alert that turns {step.FLAPS} times within {step.FLAP_WINDOW_S:g} s flaps: it stays on, is told once more with that
mark, and ends after {step.FLAP_QUIET_S:g} s of quiet. An alert that follows from another is not told while its cause
fires. Of one rule {step.STORM_BURST:g} transitions are told at once and {step.STORM_PER_S:g} a second afterwards;
the rest waits, and `alert_storm` says so. Critical alerts never wait.

See them: `mosalamaagent alerts` on the machine, `mosalama-master alerts` for all. Rules are switched off by name with
`metrics.alerts_off`. The thresholds of GPU rules are proposals that follow the vendor's documents; they have not been
tuned on a fleet yet.
"""


def document() -> str:
    """The whole page."""
    scopes = list(dict.fromkeys(rule.scope for rule in DEFAULT_RULES))
    parts = [HEAD]
    for scope in scopes:
        rules = [rule for rule in DEFAULT_RULES if rule.scope == scope]
        parts += [
            f"## {scope}\n",
            "| rule | severity | raised by | ended by | for | keep |",
            "|---|---|---|---|---|---|",
        ]
        parts += [row(rule) for rule in rules]
        parts += ["", *(f"- **{rule.name}**: {rule.do}{follows(rule)}" for rule in rules), ""]
        parts += ["| signal | meaning |", "|---|---|"]
        parts += [f"| {name} | {meaning} |" for name, meaning in SIGNALS[scope].items()]
        parts.append("")
    return "\n".join(parts)


def row(rule: Rule) -> str:
    raised = " and ".join(f"`{test}`" for test in rule.when)
    ended = " or ".join(f"`{test}`" for test in rule.clear) or "its opposite"
    if rule.kind is not Kind.LEVEL:
        ended = "a boot" if rule.kind is Kind.STICKY else "quiet"
    return f"| {rule.name} | {rule.severity} | {raised} | {ended} | {duration(rule.for_s)} | {duration(rule.keep_s)} |"


def follows(rule: Rule) -> str:
    causes = ", ".join(cause.rule for cause in rule.inhibited_by)
    return f" Not told while these fire: {causes}." if causes else ""


def duration(seconds: float) -> str:
    for unit, size in (("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


if __name__ == "__main__":
    print(document(), end="")
