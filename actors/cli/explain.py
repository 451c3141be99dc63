"""Why an engine serves or does not, in plain words, from what the daemon knows. Pure."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

STATES = {
    "starting": "is being started",
    "loading": "runs and loads its model",
    "ready": "serves",
    "draining": "ends: its requests may finish first",
    "backoff": "died, and is started again after a wait",
    "gave_up": "does not run: it was tried often enough, and is left alone for a while",
    "stopped": "was stopped by a command",
}
EVENTS_SHOWN = 8
WORDS_SHOWN = 5


def explain(
    name: str,
    engine: Mapping[str, Any] | None,
    box: Sequence[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    docker: str,
    now: float,
) -> list[str]:
    """Lines for a person: what it is, why, what was tried, what comes next, and what to do."""
    if engine is None:
        known = f"; it died {len(box)} times when it was here" if box else ""
        return [f"There is no engine {name} on this machine now{known}.", "See: mosalamaagent engines"]
    state = str(engine["state"])
    lines = [f"{name} ({engine['kind']}, generation {engine['generation']}) {STATES.get(state, state)}."]
    if engine.get("why"):
        lines.append(f"Why: {engine['why']}")
    if docker:
        lines.append(
            f"Docker does not answer ({docker}). Nothing is touched until it does; what serves goes on serving."
        )
    if state == "ready":
        lines.append(f"It is reached at {engine['endpoint']}, and was ready at {_at(engine.get('ready_since'))}.")
    if engine.get("next_try_at"):
        lines.append(f"The next try is at {_at(engine['next_try_at'])}, {_in(engine['next_try_at'] - now)}.")
    lines += _tried(engine, box)
    told = [event for event in events if event.get("subject") == f"engine/{name}"][-EVENTS_SHOWN:]
    if told:
        lines += ["What happened:", *(f"  {_at(event['at'])}  {event['kind']}: {event['text']}" for event in told)]
    return lines


def _tried(engine: Mapping[str, Any], box: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    if engine.get("restarts"):
        lines.append(f"It was started again {engine['restarts']} times since this daemon began.")
    if not box:
        return lines
    lines.append("What was tried, oldest first:")
    lines += [f"  {_at(one['at'])}  {one['what']}: {one['why']}" for one in box]
    last = box[-1]
    if last.get("do"):
        lines.append(f"What to do about the latest: {last['do']}")
    if last.get("last"):
        lines += ["Its last words:", *(f"  | {line}" for line in list(last["last"])[-WORDS_SHOWN:])]
    return lines


def _at(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _in(seconds: float) -> str:
    return "now" if seconds <= 0 else f"in {seconds:.0f} s"
