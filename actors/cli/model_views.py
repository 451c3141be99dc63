"""Progress bars and outcomes of the model commands, for people."""

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import click
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from actors.terminal import screen, tame

from .render import size


class Progress:
    """One bar for each transfer, on a terminal's standard error only: pipes and logs get the outcome."""

    def __init__(self, *, shown: bool) -> None:
        self.wanted = shown and sys.stderr.isatty()
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=screen(stderr=True),
            transient=True,
            disable=not self.wanted,
        )
        self._known: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, transfers: Sequence[Mapping[str, Any]]) -> None:
        """How far each is now."""
        for one in transfers:
            name = one["transfer_id"]
            if name not in self._known:
                self._known[name] = self._bars.add_task("", total=None)
            text = tame(f"{one['model']} {one['state']}")
            total = one["total_bytes"] or None
            self._bars.update(self._known[name], description=text, total=total, completed=one["done_bytes"])
        for name in set(self._known) - {one["transfer_id"] for one in transfers}:
            self._bars.remove_task(self._known.pop(name))


def outcome(word: str, answer: Mapping[str, Any]) -> None:
    """What became of a command: its rows as a table, its figures, or what went wrong and what to do."""
    answer = tame(answer)
    error = answer.get("error")
    if error:
        click.echo(f"{error['what']}" + (f": {error['why']}" if error["why"] else ""), err=True)
        if error["do"]:
            click.echo(f"What to do: {error['do']}", err=True)
        return
    data, rows = answer.get("data") or {}, answer.get("rows") or []
    if word == "model.gc":
        _collection(data, rows)
        return
    click.echo(answer["state"])
    for name, value in data.items():
        shown = f"{size(value)} ({value} bytes)" if name.endswith("_bytes") else value
        click.echo(f"  {name}: {shown}")


def _collection(data: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    goes = "would go" if data.get("dry_run") else "went"
    table = Table(box=None, header_style="bold")
    for column in ("version", "what", "frees", "why"):
        table.add_column(column, overflow="fold")
    for row in rows:
        what = goes if row["removed"] else "stays"
        table.add_row(row["version"], what, size(row["frees_bytes"]) if row["removed"] else "", row["why"])
    if rows:
        screen().print(table)
    click.echo(
        f"{data['versions']} {goes}, {size(data['frees_bytes'])} {'would be' if data.get('dry_run') else 'are'} freed."
    )
    click.echo(f"The store holds {size(data['used_bytes'])} of at most {size(data['capacity_bytes'])}.")
    if data["short_bytes"]:
        click.echo(f"{size(data['short_bytes'])} more were wanted: everything else is used, pinned, current or young.")
