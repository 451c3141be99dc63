"""The commands about one engine, and the agent's examination: over the control socket of the running daemon."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from actors.terminal import tame

from .client import fetch, follow
from .options import config_option, json_option, load, reports_no_daemon

LOG_S = 30.0
EXIT_NOT_WELL = 1


@click.group()
def engine() -> None:
    """Show, explain and read the log of one engine.

    \b
    Examples:
      mosalamaagent engine explain chat
      mosalamaagent engine logs chat --lines 50
      mosalamaagent engine logs chat -f
      mosalamaagent engine show chat --json
    """  # noqa: D301  # \b is click's mark for a block that keeps its lines


@engine.command()
@click.argument("name")
@config_option
@json_option
@reports_no_daemon
def show(name: str, config_file: Path | None, *, as_json: bool) -> None:
    """Show all that is known of an engine NAME."""
    answer = _one(config_file, name)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    facts = tame(answer["engine"])
    if facts is None:
        click.echo(f"There is no engine {name} on this machine; see: mosalamaagent engines", err=True)
        raise click.exceptions.Exit(EXIT_NOT_WELL)
    width = max((len(key) for key in facts), default=0)
    for key, value in facts.items():
        shown = ", ".join(map(str, value)) if isinstance(value, list) else value
        click.echo(f"{key:<{width}}  {'' if shown is None else shown}")
    click.echo(f"{'deaths kept':<{width}}  {len(answer['box'])}; see: mosalamaagent engine explain {name}")


@engine.command()
@click.argument("name")
@click.option("--lines", default=100, show_default=True, type=click.IntRange(1, 5_000), help="How many of the last.")
@click.option("-f", "--follow", "more", is_flag=True, help="Go on with what comes, as text, until Ctrl-C.")
@config_option
@json_option
@reports_no_daemon
def logs(name: str, lines: int, config_file: Path | None, *, more: bool, as_json: bool) -> None:
    """Print the last lines of the log of engine NAME, and of what is left of its dead containers."""
    run_dir, place = _run_dir(config_file), f"/v1/engines/{quote(name, safe='')}"
    if more:
        for piece in follow(run_dir, f"{place}/log?lines={lines}&follow=1"):
            click.echo(tame(piece.decode(errors="replace")), nl=False)
        return
    answer = fetch(run_dir, f"{place}/log?lines={lines}", timeout_s=LOG_S)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    for one in answer["logs"]:
        click.echo(f"==> {one['container']} ({'runs' if one['running'] else 'ended'})", err=True)
        for line in one["lines"]:
            click.echo(tame(line))
    if answer["why"]:
        click.echo(tame(answer["why"]), err=True)
        raise click.exceptions.Exit(EXIT_NOT_WELL)


@engine.command()
@click.argument("name")
@config_option
@json_option
@reports_no_daemon
def explain(name: str, config_file: Path | None, *, as_json: bool) -> None:
    """Say in plain words why engine NAME serves or does not, what was tried, and what to do."""
    from .explain import explain as words

    run_dir = _run_dir(config_file)
    answer = _one(config_file, name)
    events = fetch(run_dir, "/v1/events")["events"]
    docker = fetch(run_dir, "/v1/docker")["why"]
    lines = words(name, answer["engine"], answer["box"], events, docker, time.time())
    click.echo(json.dumps({"engine": name, "lines": lines}, indent=2) if as_json else "\n".join(tame(lines)))


@click.command()
@config_option
@json_option
@reports_no_daemon
def doctor(config_file: Path | None, *, as_json: bool) -> None:
    """Examine the agent: daemon, Docker, master, disks, engines, alerts. Exit code 1 when something is bad."""
    from actors.api.doctor import Seen, examine

    run_dir = _run_dir(config_file)
    seen = Seen(
        status=fetch(run_dir, "/v1/status"),
        tree=fetch(run_dir, "/v1/tree"),
        engines=fetch(run_dir, "/v1/engines")["engines"],
        alerts=fetch(run_dir, "/v1/alerts")["alerts"],
        snapshot=fetch(run_dir, "/v1/metrics"),
        docker=fetch(run_dir, "/v1/docker")["why"],
    )
    findings = examine(seen)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in findings], indent=2))
    else:
        for one in findings:
            do = f"\n{'':<33} do: {one.do}" if one.do else ""
            click.echo(tame(f"{one.level:<8} {one.check:<24} {one.found}{do}"))
    if any(one.level == "bad" for one in findings):
        raise click.exceptions.Exit(EXIT_NOT_WELL)


def _run_dir(config_file: Path | None) -> Path:
    found: Path = load(config_file).paths.run_dir
    return found


def _one(config_file: Path | None, name: str) -> Any:
    return fetch(_run_dir(config_file), f"/v1/engines/{quote(name, safe='')}")
