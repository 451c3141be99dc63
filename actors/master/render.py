"""The operator's answers as tables and progress bars."""

import datetime as dt
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from actors.terminal import screen, tame


class ProgressView:
    """A bar that follows one command; says nothing when `quiet`."""

    def __init__(self, *, quiet: bool) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=screen(stderr=True), disable=quiet)
        self._task = self._bar.add_task("queued", total=None)

    def update(self, command: Mapping[str, Any]) -> None:
        """Show how far the command is."""
        progress = command.get("progress") or {}
        text = tame(str(progress.get("stage") or command["state"]))
        self._bar.update(
            self._task, description=text, completed=progress.get("done") or 0, total=progress.get("total") or None
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the drawing."""
        self._bar.stop()


def command(answer: Mapping[str, Any]) -> None:
    """One command: what became of it, and why."""
    console = screen()
    console.print(Text.assemble(f"{answer['word']}  {answer['command_id']}  ", (str(answer["state"]), "bold")))
    result = answer.get("result") or {}
    error = result.get("error")
    if error:
        for part in ("what", "why", "do"):
            if error.get(part):
                console.print(f"  {part}: {error[part]}")
    for key, value in (result.get("data") or {}).items():
        console.print(f"  {key}: {value}")
    rows = result.get("rows") or []
    if rows:
        table = _table(*rows[0])
        for row in rows:
            table.add_row(*("" if row.get(name) is None else str(row[name]) for name in rows[0]))
        console.print(table)


def agents(answer: Mapping[str, Any]) -> None:
    """One row an agent."""
    table = _table("agent", "state", "connected", "seen", "machine")
    for row in answer["agents"]:
        facts = row["inventory"]
        machine = ", ".join(f"{key} {facts[key]}" for key in ("host.name", "cpu.count", "gpu.count") if key in facts)
        table.add_row(
            row["agent_id"], row["state"], "yes" if row["connected"] else "no", _time(row["seen_ms"]), machine
        )
    screen().print(table)


def events(answer: Mapping[str, Any]) -> None:
    """One row an event."""
    table = _table("at", "severity", "kind", "subject", "what")
    for row in answer["events"]:
        table.add_row(_time(row["at_ms"]), row["severity"], row["kind"], row["subject"], row["text"])
    screen().print(table)


def alerts(answer: Mapping[str, Any]) -> None:
    """One row an alert."""
    table = _table("since", "state", "severity", "rule", "what")
    for row in answer["alerts"]:
        table.add_row(_time(row["starts_at_ms"]), row["state"], row["severity"], row["rule"], row["text"])
    screen().print(table)


def keyset(answer: Mapping[str, Any]) -> None:
    """The keyset: when it ends, one row a key, the roots."""
    console = screen()
    console.print(f"keyset {answer['version']}, expires {answer['expires']} ({answer['days_left']} days)")
    table = _table("key", "role", "good until")
    for row in answer["keys"]:
        table.add_row(row["kid"], row["role"], row["not_after"])
    console.print(table)
    roots = answer["roots"]
    console.print(f"roots: {roots['threshold']} of {', '.join(roots['kids'])}; pin {roots['pin']}")
    if answer["revoked"]:
        console.print(f"revoked: {', '.join(answer['revoked'])}")
    if answer.get("waits_for_signatures"):
        console.print(
            f"{answer['waits_for_signatures']} waits; signed by: {', '.join(answer['signed_by']) or 'nobody'}"
        )


def flat(answer: Mapping[str, Any], prefix: str = "") -> None:
    """Names and values, one a line."""
    table = Table(box=None, show_header=False)
    for key, value in answer.items():
        table.add_row(prefix + str(key), "" if value is None else str(value))
    screen().print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _time(at_ms: int) -> str:
    return dt.datetime.fromtimestamp(at_ms / 1000, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S") if at_ms else ""
