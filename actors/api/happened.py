"""One list of what happened: the journal's events, and those of the supervision that somebody has to know. Pure."""

from collections.abc import Sequence
from typing import Any

from actors.api.board import plain
from actors.supervision.events import SupervisionEvent
from protocol.messages.reports import Event

TOLD = frozenset({"warning", "error", "critical"})
"""Severities of the supervision that belong into the list; the rest is in the log."""
TEXT_CHARS = 1_000


def merged(
    durable: Sequence[Event], events: Sequence[SupervisionEvent], *, wall_s: float, now_s: float, limit: int
) -> list[dict[str, Any]]:
    """Both, oldest first, at most `limit`. `wall_s` is the time of day now, `now_s` the monotonic clock of `events`."""
    kept = [{"at": event.at_ms / 1000, **event.model_dump(mode="python")} for event in durable]
    told = [_shown(event, wall_s - (now_s - event.at)) for event in events if event.severity in TOLD]
    return sorted([plain(event) for event in (*kept, *told)], key=lambda event: float(event["at"]))[-limit:]


def _shown(event: SupervisionEvent, at_s: float) -> dict[str, Any]:
    text = event.reason
    fields: dict[str, Any] = {"incarnation": event.incarnation}
    if event.next_try_s is not None:
        text = f"{text}; the next try is in {event.next_try_s:.1f} s"
        fields["next_try_s"] = event.next_try_s
    return {
        "at": at_s,
        "at_ms": int(at_s * 1000),
        "event_id": f"supervision-{event.seq}",
        "kind": f"supervision.{event.kind}",
        "severity": event.severity,
        "subject": f"{event.path}#{event.incarnation}",
        "text": text[:TEXT_CHARS],
        "fields": fields,
    }
