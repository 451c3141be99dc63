"""The commands that show what the running daemon does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from actors.terminal import tame

from .client import fetch
from .options import config_option, json_option, load, reports_no_daemon


def _view(name: str, path: str, show: Callable[[Any], None], help_text: str) -> click.Command:
    """One command that fetches `path` and shows it as a table or as JSON."""

    @reports_no_daemon
    def command(config_file: Path | None, *, as_json: bool) -> None:
        answer = fetch(load(config_file).paths.run_dir, path)
        if as_json:
            click.echo(json.dumps(answer, indent=2))
        else:
            show(tame(answer))

    command.__doc__ = help_text
    return click.command(name)(config_option(json_option(command)))


def _show(name: str) -> Callable[[Any], None]:
    """The renderer of that name, imported when something is shown: rich is slow to import."""

    def call(answer: Any) -> None:
        from actors.cli import render

        getattr(render, name)(answer)

    return call


status = _view("status", "/v1/status", _show("status"), "Show this agent, its link to the master and its health.")
tree = _view("tree", "/v1/tree", _show("tree"), "Show the supervision tree, live, with why each part is as it is.")
events = _view("events", "/v1/events", _show("events"), "Show what happened, oldest first.")
engines = _view("engines", "/v1/engines", _show("engines"), "Show the engines of this machine.")
models = _view("models", "/v1/models", _show("models"), "Show the models on this machine and the running transfers.")
metrics = _view(
    "metrics", "/v1/metrics", _show("metrics"), "Show the latest figures of host, GPUs, containers, engines."
)
alerts = _view("alerts", "/v1/alerts", _show("alerts"), "Show the alerts that are on, and what to do about each.")
