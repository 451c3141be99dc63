"""The page: a shell for the live dashboard (static/app.js), and the same facts in plain HTML without scripts. Pure."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

REFRESH_S = 2
EVENTS_SHOWN = 30
SCRIPTED = (
    '<link rel=icon href=/static/icon.svg type="image/svg+xml"><script src=/static/start.js></script>'
    "<link rel=stylesheet href=/static/uplot.css><link rel=stylesheet href=/static/dashboard.css>"
    "<script src=/static/uplot.js defer></script><script type=module src=/static/app.js></script>"
)
TONES = {
    "ready": "good",
    "running": "good",
    "connected": "good",
    "gave_up": "bad",
    "wedged": "bad",
    "error": "bad",
    "critical": "bad",
    "backoff": "wait",
    "loading": "wait",
    "starting": "wait",
    "warning": "wait",
}


def render(facts: Mapping[str, Any]) -> str:
    """The whole document. `facts`: status, engines, models, transfers, tree, events, snapshot."""
    status = facts["status"]
    agent, link = status.get("agent") or {}, status.get("link") or {}
    name = str(link.get("agent_id") or "not enrolled")
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width, initial-scale=1">',
        f"<title>{escape(name)}: MosalamaAgent</title>{SCRIPTED}",
        f'<noscript><meta http-equiv=refresh content="{REFRESH_S}">',
        "<link rel=stylesheet href=/static/plain.css></noscript>",
        "</head><body><div id=app hidden></div><noscript><main>",
        f"<h1>MosalamaAgent {escape(str(agent.get('version', '')))}</h1>",
        f"<p>{escape(name)}, {_state(link.get('state', ''))} {escape(str(link.get('master') or ''))} ",
        f"{escape(str(link.get('last_error') or ''))}</p>",
        _table("Engines", facts["engines"], ("name", "kind", "state", "model", "endpoint", "restarts", "why")),
        _table("Models", facts["models"], ("model", "revision", "size_bytes", "current", "pinned", "leases")),
        _table("Transfers", facts["transfers"], ("model", "state", "done_bytes", "total_bytes", "rate_bytes_s")),
        _table("Host", _pairs(facts["snapshot"].get("host") or {}), ("name", "value")),
        _table("Tree", _walk(facts["tree"], 0), ("path", "state", "incarnation", "restarts_total", "mailbox_depth")),
        _table("Events", _events(facts["events"]), ("at", "severity", "kind", "subject", "text")),
        "</main></noscript></body></html>",
    ]
    return "".join(parts)


def _table(title: str, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(column, row.get(column))}</td>" for column in columns) + "</tr>" for row in rows
    )
    if not body:
        return f"<h2>{title}</h2><p>none</p>"
    head = "".join(f"<th scope=col>{escape(column.replace('_', ' '))}</th>" for column in columns)
    return f"<h2>{title}</h2><div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _cell(column: str, value: Any) -> str:
    if column in {"state", "severity"}:
        return _state(value)
    if value is None or value is False:
        return ""
    return "yes" if value is True else escape(str(value))


def _state(value: Any) -> str:
    text = escape(str(value))
    return f'<span class="{TONES.get(str(value), "")}">{text}</span>'


def _pairs(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _walk(node: Mapping[str, Any], depth: int) -> list[Mapping[str, Any]]:
    below = [row for child in node.get("children", ()) for row in _walk(child, depth + 1)]
    return [node, *below] if node else []


def _events(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**event, "at": _time(event.get("at"))} for event in reversed(events[-EVENTS_SHOWN:])]


def _time(at: Any) -> str:
    if not isinstance(at, (int, float)):
        return ""
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
