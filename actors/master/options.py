"""What every command of the master's CLI shares: exit codes, options, a request, an answer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

EXIT_FAILED = 3
EXIT_LATE = 4
DEFAULT_DIR = Path("/var/lib/mosalama-master")
Command = Callable[..., Any]


def dir_option(command: Command) -> Command:
    """`--dir D`: where the master keeps its keys and its book."""
    return click.option("--dir", "directory", type=click.Path(path_type=Path), default=DEFAULT_DIR, show_default=True)(
        command
    )


def json_option(command: Command) -> Command:
    """`--json`: the same for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def operator(directory: Path, method: str, path: str, body: object = None) -> Any:
    """One request, or exit 1 with one line."""
    from .client import OperatorError, ask

    try:
        return ask(directory, method, path, body)
    except OperatorError as error:
        click.echo(str(error), err=True)
        raise click.exceptions.Exit(1) from None


def show(answer: Any, *, as_json: bool, render: str) -> None:
    """JSON, or the table of that name."""
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    from actors.terminal import tame

    from . import render as tables

    getattr(tables, render)(tame(answer))
