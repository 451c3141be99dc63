"""`mosalamaagent log-level`: what the running daemon writes to its log, seen and changed."""

import json
from pathlib import Path

import click

from .client import fetch, put
from .options import config_option, json_option, load, reports_no_daemon

PATH = "/v1/log/level"


@click.command("log-level")
@click.argument("level", required=False, type=click.Choice(["debug", "info", "warning", "error", "critical"]))
@click.option("--actor", default="", help="Only this actor's records: link, metrics, engines and so on.")
@config_option
@json_option
@reports_no_daemon
def log_level(level: str | None, actor: str, config_file: Path | None, *, as_json: bool) -> None:
    """Show what the running daemon writes to its log, or change it until it is restarted.

    \b
    Examples:
      mosalamaagent log-level
      mosalamaagent log-level debug
      mosalamaagent log-level debug --actor link
    """  # noqa: D301  # see cli
    run_dir = load(config_file).paths.run_dir
    answer = fetch(run_dir, PATH) if level is None else put(run_dir, PATH, {"level": level, "actor": actor})
    if as_json:
        click.echo(json.dumps(answer))
        return
    for name, now in answer["levels"].items():
        click.echo(f"{name or 'everything else' if len(answer['levels']) > 1 else 'everything'}: {now}")
