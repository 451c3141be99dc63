"""The commands that need no running daemon: start it, check what it would be told, print the example."""

from pathlib import Path

import click

from . import lean
from .options import config_option, json_option, load


@click.command()
@config_option
def run(config_file: Path | None) -> None:
    """Run the daemon in the foreground, as systemd does.

    \b
    Example:
      mosalamaagent run --config /etc/mosalamaagent/config.yaml
    """  # noqa: D301  # \b is click's mark for a block that keeps its lines
    settings = load(config_file)
    lean.load()
    from actors.daemon import Daemon

    raise SystemExit(Daemon(settings).run())


@click.command("check-config")
@config_option
@json_option
def check_config(config_file: Path | None, *, as_json: bool) -> None:
    """Check a configuration file and start nothing; exit 78 names every fault with its line."""
    settings = load(config_file)
    if as_json:
        click.echo(settings.model_dump_json(indent=2))
    else:
        click.echo("The configuration is good.")


@click.command("example-config")
def example_config() -> None:
    """Print a configuration file with every key, its meaning and its default."""
    from config.example import example_text

    click.echo(example_text(), nl=False)
