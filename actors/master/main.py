"""`mosalama-master`: the command of the reference master.

Exit codes: 0 done, 1 refused or failed, 2 wrong use, 3 the command was carried out and failed, 4 not done in time.
"""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from . import commands, engine_commands, keyset_commands, model_commands
from .options import dir_option, json_option, operator


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
@click.option("--roots", type=click.IntRange(1, 16), default=1, show_default=True, help="How many roots to make.")
@click.option("--threshold", type=click.IntRange(1, 16), default=1, show_default=True, help="So many must sign.")
def init(directory: Path, hosts: tuple[str, ...], roots: int, threshold: int, *, as_json: bool) -> None:
    """Make keys, keyset, and a certificate with an authority of its own, for a private trial."""
    import datetime as dt

    from .certs import AUTHORITY_FILE, AUTHORITY_KEY_FILE, make_authority, make_server_certificate
    from .keys import make_keys, root_names
    from .service import now_ms

    if threshold > roots:
        raise click.BadParameter(f"{threshold} of {roots} roots cannot sign", param_hint="--threshold")
    try:
        keys = make_keys(directory, now_ms(), roots=roots, threshold=threshold)
        make_authority(directory, dt.datetime.now(dt.UTC))
        make_server_certificate(directory, hosts, dt.datetime.now(dt.UTC))
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
    secret = ", ".join((*root_names(roots), AUTHORITY_KEY_FILE))
    click.echo(f"take {secret} offline: roots sign a new keyset (mosalama-master keyset), {AUTHORITY_KEY_FILE} a new")
    click.echo(f"certificate. The keyset is good for {keys.days_left(now_ms()):.0f} days: mosalama-master keyset renew")


@cli.command()
@dir_option
@click.option("--listen", default="127.0.0.1:7443", show_default=True, help="HOST:PORT of the TLS port.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option(
    "--client-ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Mutual TLS: every machine needs a certificate of this authority (see: mosalama-master cert agent).",
)
def serve(directory: Path, listen: str, log_level: Any, client_ca: Path | None) -> None:
    """Serve enrollment and links until SIGTERM; SIGHUP reads certificate and keyset again."""
    import asyncio

    from config.log import LogSettings
    from protocol.errors import ProtocolError

    from .server import configure_log
    from .server import serve as run

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise click.BadParameter("HOST:PORT is wanted", param_hint="--listen")
    configure_log(LogSettings(level=log_level))
    try:
        asyncio.run(run(directory, host.strip("[]"), int(port), client_ca))
    except (OSError, ProtocolError) as error:
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
@click.option("--approve", is_flag=True, help="Who enrols with it waits for: mosalama-master agent approve.")
@click.option("--hosts", default="", help="Only for hosts whose name matches, with * for anything.")
@click.option("--network", default="", help="Only from this network, as ADDRESS/BITS.")
@click.option("--recover", default="", metavar="AGENT", help="Gives this agent, which lost its key, a new one.")
def token_create(directory: Path, ttl_s: float, *, as_json: bool, **asked: Any) -> None:
    """Make a join token; it is shown once."""
    answer = operator(directory, "POST", "/v1/tokens", {"ttl_s": ttl_s, **asked})
    click.echo(json.dumps(answer) if as_json else answer["token"])


@cli.group()
def cert() -> None:
    """Certificates of the private authority that `init` made."""


@cert.command("server")
@dir_option
@click.option("--host", "hosts", multiple=True, required=True, help="Name or address; may be repeated.")
def cert_server(directory: Path, hosts: tuple[str, ...]) -> None:
    """Make the master's certificate anew; SIGHUP makes a running master show it."""
    import datetime as dt

    from .certs import CERTIFICATE_FILE, make_server_certificate

    with _certificates():
        make_server_certificate(directory, hosts, dt.datetime.now(dt.UTC))
    click.echo(f"made {directory / CERTIFICATE_FILE}; a running master takes it with: kill -HUP")


@cert.command("agent")
@dir_option
@json_option
@click.argument("agent_id")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path(), show_default=True)
def cert_agent(directory: Path, agent_id: str, out: Path, *, as_json: bool) -> None:
    """Make a client certificate for one agent (serve --client-ca)."""
    import datetime as dt

    from .certs import make_agent_certificate

    with _certificates():
        certificate, key = make_agent_certificate(directory, agent_id, out, dt.datetime.now(dt.UTC))
    if as_json:
        click.echo(json.dumps({"certificate": str(certificate), "key": str(key)}))
        return
    click.echo(f"link.client_certificate_file: {certificate}\nlink.client_key_file: {key}")


@contextlib.contextmanager
def _certificates() -> Iterator[None]:
    """What is missing is one line and exit code 1."""
    try:
        yield
    except ModuleNotFoundError:
        click.echo("certificates need one package more: pip install 'mosalamaagent[master]'", err=True)
        raise click.exceptions.Exit(1) from None
    except OSError as error:
        click.echo(f"cannot be made: {error}; ca.key signs certificates: bring it here for a moment", err=True)
        raise click.exceptions.Exit(1) from None


def main() -> None:
    """The entry point."""
    for room in (commands, engine_commands, model_commands, keyset_commands):
        room.register(cli)
    sys.exit(cli())
