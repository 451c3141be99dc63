"""What the demo says while it runs and writes when it ends: one line and one row for each step."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass
class Step:
    """One step: `detail` says what was seen, or what failed and what to do."""

    name: str
    ok: bool = False
    seconds: float = 0.0
    detail: str = ""


class StepFailedError(Exception):
    """A step did not hold; the text says what was expected and what was seen."""


class Report:
    """The steps so far; a failed step stops the demo, and every later step is told as not reached."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.steps: list[Step] = []

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Time one step; an exception in it is the step's failure and goes on to the caller."""
        step = Step(name)
        self.steps.append(step)
        self.console.rule(f"[bold]{name}", align="left")
        begun = time.monotonic()
        try:
            yield step
            step.ok = True
        except BaseException as error:
            step.detail = f"{type(error).__name__}: {error}"[:2_000]
            raise
        finally:
            step.seconds = round(time.monotonic() - begun, 2)
            mark = "[green]ok[/]" if step.ok else "[red]failed[/]"
            self.console.print(f"{mark} in {step.seconds:.1f} s")
            if step.detail:
                self.console.print(step.detail, markup=False)

    @property
    def ok(self) -> bool:
        """Whether every step so far held."""
        return bool(self.steps) and all(step.ok for step in self.steps)

    def table(self) -> Table:
        """The summary for people."""
        table = Table(title="What was shown")
        for column in ("step", "time", "result", "detail"):
            table.add_column(column, overflow="fold")
        for step in self.steps:
            mark = "[green]ok[/]" if step.ok else "[red]failed[/]"
            table.add_row(step.name, f"{step.seconds:.1f} s", mark, step.detail[:300].replace("[", "\\["))
        return table

    def write(self, file: Path) -> None:
        """The summary for programs: `{"ok", "steps": [{"name", "ok", "seconds", "detail"}]}`."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"ok": self.ok, "steps": [asdict(step) for step in self.steps]}, indent=2) + "\n")
