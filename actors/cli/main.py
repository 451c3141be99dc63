"""`mosalamaagent`: the command of the agent.

Exit codes: 0 done, 1 the command failed, 2 wrong use, 69 no daemon answers, 70 the tree could not be
kept running, 71 too many threads hang, 78 the configuration cannot be used.

Each command imports its work when it runs, so that `--version` and `--help` answer at once.
"""

import importlib
import sys
from typing import Any

import click

COMMANDS = {
    "run": ("actors.cli.run", "run"),
    "check-config": ("actors.cli.run", "check_config"),
    "example-config": ("actors.cli.run", "example_config"),
    "status": ("actors.cli.views", "status"),
    "top": ("actors.cli.top", "top"),
    "tree": ("actors.cli.views", "tree"),
    "events": ("actors.cli.views", "events"),
    "alerts": ("actors.cli.views", "alerts"),
    "engines": ("actors.cli.views", "engines"),
    "engine": ("actors.cli.engine", "engine"),
    "doctor": ("actors.cli.engine", "doctor"),
    "models": ("actors.cli.views", "models"),
    "model": ("actors.cli.models", "model"),
    "metrics": ("actors.cli.views", "metrics"),
    "log-level": ("actors.cli.log_level", "log_level"),
}


class LazyGroup(click.Group):
    """A group that imports a command only when it is called or explained."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table above: the order in which people need them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: Any) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import version

    click.echo(f"mosalamaagent {version('mosalamaagent')}")
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version and exit.",
)
def cli() -> None:
    """Run LLM serving engines on this machine, and see what they do.

    \b
    Examples:
      mosalamaagent check-config --config /etc/mosalamaagent/config.yaml
      mosalamaagent run --config /etc/mosalamaagent/config.yaml
      mosalamaagent tree
      mosalamaagent engines --json
    """  # noqa: D301  # \b is click's mark for a block that keeps its lines


def main() -> None:
    """The entry point."""
    sys.exit(cli())
