"""`mosalamaagent top`: the page in a terminal."""

import contextlib
import json
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click

from .client import DaemonRefusedError, NoDaemonError, fetch
from .options import config_option, json_option, load, reports_no_daemon

OVERVIEW, HISTORY = "/v1/overview", "/v1/history?span=15m"
HISTORY_EVERY = 5
"""Frames between two looks at the past."""
ASK_S = 5.0
EXIT_OF: dict[int, int] = {signal.SIGINT: 0, signal.SIGTERM: 143}


@click.command()
@config_option
@json_option
@click.option("--once", is_flag=True, help="Print one frame and leave; so it is, too, when the output is no terminal.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(0.2, 60.0),
    default=1.0,
    show_default=True,
    help="Seconds between two frames.",
)
@reports_no_daemon
def top(config_file: Path | None, *, as_json: bool, once: bool, interval_s: float) -> None:
    """Watch this machine: engines, GPUs, host, downloads, alerts, events.

    \b
    Keys: q quit, p pause, t the supervision tree or the events.
    Exit codes: 0 left by key or by Ctrl-C, 69 no daemon answers at the start, 78 bad configuration.
    A daemon that goes away later is waited for.

    \b
    Examples:
      mosalamaagent top
      mosalamaagent top --once | head -20
      mosalamaagent top --json | jq '.engines[].state'
    """  # noqa: D301  # \b is click's mark for a block that keeps its lines
    run_dir = load(config_file).paths.run_dir
    facts = fetch(run_dir, OVERVIEW, timeout_s=ASK_S)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    elif once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        _print(facts, _past(run_dir))
    else:
        Screen(run_dir, facts, interval_s).run()


def _past(run_dir: Path) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = fetch(run_dir, HISTORY, timeout_s=ASK_S)["series"]
    return found


def _print(facts: dict[str, Any], past: dict[str, list[float | None]]) -> None:
    from rich.console import Console

    from .top_view import View, frame

    console = Console()
    for line in frame(View(facts, past, console.width, None, time.time())):
        console.print(line)


class Screen:
    """The live view, until a key ends it; what it changes of the terminal it puts back."""

    def __init__(self, run_dir: Path, facts: dict[str, Any], interval_s: float) -> None:
        self._run_dir, self._facts, self._interval_s = run_dir, facts, interval_s
        self._past: dict[str, list[float | None]] = {}
        self._trouble, self._pane, self._paused, self._frames = "", "events", False, 0

    def run(self) -> None:
        """Draw, wait for a key or the time, ask, again."""
        from rich.console import Console, Group
        from rich.live import Live

        from .top_view import View, frame

        console = Console()

        def shown() -> Group:
            width, height = console.size
            facts, past = self._facts, self._past
            view = View(facts, past, width, height, time.time(), self._trouble, self._pane, self._paused)
            return Group(*frame(view))

        leave = Leave()
        with _keys(leave), Live(console=console, screen=True, auto_refresh=False) as live:
            while leave.code is None:
                self._ask()
                live.update(shown(), refresh=True)
                if not self._wait(lambda: live.update(shown(), refresh=True)):
                    leave.code = 0
        sys.exit(leave.code)

    def _ask(self) -> None:
        if self._paused:
            return
        try:
            self._facts = fetch(self._run_dir, OVERVIEW, timeout_s=ASK_S)
            if self._frames % HISTORY_EVERY == 0:
                self._past = _past(self._run_dir)
            self._trouble = ""
        except (NoDaemonError, DaemonRefusedError) as error:
            self._trouble = str(error).partition(": ")[2] or str(error)
        self._frames += 1

    def _wait(self, redraw: Any) -> bool:
        """Keys until the next frame is due; False: leave."""
        ends = time.monotonic() + self._interval_s
        while (left := ends - time.monotonic()) > 0:
            if not select.select([sys.stdin], [], [], left)[0]:
                continue
            key = sys.stdin.read(1)
            if key in {"q", "Q", ""}:
                return False
            if key in {"p", " "}:
                self._paused = not self._paused
            elif key == "t":
                self._pane = "events" if self._pane == "tree" else "tree"
            redraw()
        return True


class _LeaveNow(BaseException):
    """A signal came; nobody on the way may take it for a fault."""


class Leave:
    """Whether to leave, and with which exit code. It is kept beside the exception, which a finalizer may swallow."""

    def __init__(self) -> None:
        self.code: int | None = None

    def ask(self, number: int, _frame: FrameType | None) -> None:
        """The handler of the signals; a second one does not disturb the leaving."""
        if self.code is None:
            self.code = EXIT_OF[number]
            raise _LeaveNow


@contextlib.contextmanager
def _keys(leave: Leave) -> Iterator[None]:
    """Keys come one by one and unseen; Ctrl-C and a termination end the view and leave the terminal as it was."""
    before = termios.tcgetattr(sys.stdin)
    handlers = {number: signal.signal(number, leave.ask) for number in EXIT_OF}
    try:
        tty.setcbreak(sys.stdin)
        yield
    except _LeaveNow:
        pass
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
