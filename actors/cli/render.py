"""Answers of the daemon as tables for people; every column says its unit."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from actors.terminal import screen

STATE_STYLES = {
    "running": "green",
    "ready": "green",
    "connected": "green",
    "starting": "yellow",
    "loading": "yellow",
    "backoff": "yellow",
    "stopping": "yellow",
    "draining": "yellow",
    "wedged": "red",
    "gave_up": "bold red",
    "failed": "red",
}


def tree(answer: Mapping[str, Any]) -> None:
    """The supervision tree with state, incarnation, restarts, mailbox and what each actor does now."""
    screen().print(_branch(answer))


def _branch(node: Mapping[str, Any]) -> Tree:
    branch = Tree(_node_text(node), guide_style="dim")
    for child in node.get("children", ()):
        branch.children.append(_branch(child))
    return branch


def _node_text(node: Mapping[str, Any]) -> Text:
    name = str(node["path"]).rsplit("/", 1)[-1] or "root"
    text = Text(f"{name:<18} ")
    text.append_text(_state(str(node["state"])))
    text.append(f"  incarnation {node['incarnation']}, mailbox {node['mailbox_depth']}", style="dim")
    if node.get("restarts_total"):
        text.append(f", restarts {node['restarts_total']} ({node['restarts_in_window']} in window)", style="yellow")
    if node.get("current_message"):
        age = node.get("current_age_s") or 0.0
        text.append(f", in {node['current_message']} for {age:.1f} s", style="dim")
    if node.get("next_restart_in_s") is not None:
        text.append(f", next restart in {node['next_restart_in_s']:.1f} s", style="yellow")
    if node.get("last_reason"):
        text.append(f", last: {node['last_reason']}", style="dim")
    return text


def _state(state: str) -> Text:
    return Text(state, style=STATE_STYLES.get(state.lower(), ""))


def status(answer: Mapping[str, Any]) -> None:
    """Names and values, one a line; nested values are indented under their name."""
    table = Table(box=None, show_header=False)
    for key, value in _flat(answer):
        table.add_row(key, value)
    screen().print(table)


def metrics(answer: Mapping[str, Any]) -> None:
    """The latest snapshot, flat."""
    status(answer)


def _flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [row for key, inner in value.items() for row in _flat(inner, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [row for index, inner in enumerate(value) for row in _flat(inner, f"{prefix}[{index}]")]
    return [(prefix, "" if value is None else str(value))]


def events(answer: Any) -> None:
    """Time, severity, kind, subject, text."""
    table = _table("at", "severity", "kind", "subject", "what")
    for event in _items(answer, "events"):
        table.add_row(
            _time(event.get("at")),
            str(event.get("severity", "")),
            str(event.get("kind", "")),
            str(event.get("subject", "")),
            str(event.get("text", "")),
        )
    screen().print(table)


SEVERITY_STYLES = {"critical": "bold red", "warning": "yellow"}


def alerts(answer: Any) -> None:
    """One row an alert that is on, oldest first; one that follows from another or is not known now says so."""
    rows = _items(answer, "alerts")
    if not rows:
        screen().print("No alert is on.")
        return
    table = _table("since", "severity", "rule", "what", "what to do")
    for alert in rows:
        notes = [
            f"follows from {alert['follows_from']}" if alert["follows_from"] else "",
            "flapping" if alert["flapping"] else "",
            "not known now" if alert["stale"] else "",
            f"{alert['count']} times" if alert["count"] > 1 else "",
        ]
        note = ", ".join(word for word in notes if word)
        table.add_row(
            _time(alert["starts_at"]),
            Text(alert["severity"], style=SEVERITY_STYLES.get(alert["severity"], "")),
            alert["rule"],
            alert["text"] + (f" ({note})" if note else ""),
            alert["do"],
        )
    screen().print(table)


def engines(answer: Any) -> None:
    """One row an engine, with why it is in its state."""
    table = _table("engine", "kind", "state", "model", "endpoint", "restarts", "why")
    for engine in _items(answer, "engines"):
        table.add_row(
            engine["name"],
            engine["kind"],
            _state(engine["state"]),
            engine.get("model") or "",
            engine.get("endpoint") or "",
            str(engine.get("restarts", 0)),
            engine.get("why") or "",
        )
    screen().print(table)


def models(answer: Any) -> None:
    """Complete versions, then transfers with how far they are."""
    table = _table("model", "revision", "from", "size", "current", "pinned", "used by", "last used", "verified")
    for model in _items(answer, "models"):
        table.add_row(
            model["model"],
            model["revision"][:12],
            model.get("source") or "",
            size(model["size_bytes"]),
            "yes" if model.get("current") else "",
            "yes" if model.get("pinned") else "",
            ", ".join(model.get("holders") or ()),
            _time(model.get("last_used_at")),
            f"DAMAGED: {len(model['damaged'])} files" if model.get("damaged") else _time(model.get("verified_at")),
        )
    screen().print(table)
    transfers = answer.get("transfers", []) if isinstance(answer, Mapping) else []
    if transfers:
        running = _table("transfer of", "state", "done", "of", "rate", "left")
        for transfer in transfers:
            rate, eta = transfer.get("rate_bytes_s"), transfer.get("eta_s")
            running.add_row(
                transfer["model"],
                _state(transfer["state"]),
                size(transfer["done_bytes"]),
                size(transfer["total_bytes"]) if transfer["total_bytes"] else "",
                f"{size(rate)}/s" if rate else "",
                f"{eta:.0f} s" if eta is not None else "",
            )
        screen().print(running)


def size(count: float) -> str:
    """Bytes for people: 1.5 GiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _time(at: Any) -> str:
    if not isinstance(at, (int, float)):
        return str(at or "")
    return dt.datetime.fromtimestamp(at, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _items(answer: Any, key: str) -> Any:
    return answer[key] if isinstance(answer, Mapping) and key in answer else answer
