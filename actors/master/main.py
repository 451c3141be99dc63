"""`mosalama-master`: the command of the reference master.

Exit codes: 0 done, 1 refused or failed, 2 wrong use, 3 the command was carried out and failed, 4 not done in time.
"""

import json
import sys
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
    from . import render as tables

    getattr(tables, render)(answer)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mosalamaagent", prog_name="mosalama-master")
def cli() -> None:
    """Drive agents: enrol machines, bring models, run engines, see what happens.

    \b
    Examples:
      mosalama-master init --dir ./master --host 127.0.0.1
      mosalama-master serve --dir ./master --listen 127.0.0.1:7443
      mosalama-master token create --dir ./master
      mosalama-master engine list AGENT --dir ./master --json
    """  # noqa: D301  # \b is click's mark for a block that keeps its lines


@cli.command()
@dir_option
@json_option
@click.option(
    "--host", "hosts", multiple=True, required=True, help="Name or address in the certificate; may be repeated."
)
def init(directory: Path, hosts: tuple[str, ...], *, as_json: bool) -> None:
    """Make keys, keyset, and a certificate with an authority of its own, for a private trial."""
    import datetime as dt

    from .certs import AUTHORITY_FILE, make_certificates
    from .keys import ROOT_FILE, make_keys
    from .service import now_ms

    try:
        keys = make_keys(directory, now_ms())
        make_certificates(directory, hosts, dt.datetime.now(dt.UTC))
    except ModuleNotFoundError:
        click.echo("certificates need one package more: pip install 'mosalamaagent[master]'", err=True)
        raise click.exceptions.Exit(1) from None
    except OSError as error:
        click.echo(str(error), err=True)
        raise click.exceptions.Exit(1) from None
    authority = str(directory / AUTHORITY_FILE)
    pin = keys.roots.pin().hex()
    if as_json:
        click.echo(json.dumps({"directory": str(directory), "ca_file": authority, "root_pin": pin}))
        return
    click.echo(f"made {directory}\nagents need {authority} (link.ca_file)\nroots pinned as {pin}")
    click.echo(f"take {directory / ROOT_FILE} offline: it is needed only to sign a new keyset")


@cli.command()
@dir_option
@click.option("--listen", default="127.0.0.1:7443", show_default=True, help="HOST:PORT of the TLS port.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def serve(directory: Path, listen: str, log_level: Any) -> None:
    """Serve enrollment and links until SIGTERM."""
    import asyncio

    from config.log import LogSettings

    from .server import configure_log
    from .server import serve as run

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("HOST:PORT is wanted", param_hint="--listen")
    configure_log(LogSettings(level=log_level))
    try:
        asyncio.run(run(directory, host.strip("[]"), int(port)))
    except OSError as error:
        click.echo(f"cannot serve: {error}", err=True)
        raise click.exceptions.Exit(1) from None


@cli.group()
def token() -> None:
    """Join tokens."""


@token.command("create")
@dir_option
@json_option
@click.option(
    "--ttl", "ttl_s", type=click.FloatRange(1, 30 * 86_400), default=3_600.0, show_default=True, help="Seconds."
)
@click.option("--uses", type=click.IntRange(1, 10_000), default=1, show_default=True)
@click.option("--note", default="", help="For whom it is.")
def token_create(directory: Path, ttl_s: float, uses: int, note: str, *, as_json: bool) -> None:
    """Make a join token; it is shown once."""
    answer = operator(directory, "POST", "/v1/tokens", {"ttl_s": ttl_s, "uses": uses, "note": note})
    click.echo(json.dumps(answer) if as_json else answer["token"])


def main() -> None:
    """The entry point."""
    from . import commands

    commands.register(cli)
    sys.exit(cli())
