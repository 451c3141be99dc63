"""Options and errors that every command shares."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

DEFAULT_CONFIG = Path("/etc/mosalamaagent/config.yaml")
EXIT_NO_DAEMON = 69
EXIT_BAD_CONFIG = 78


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--config FILE`; without it the system's file, or the defaults where there is none."""
    return click.option(
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        default=None,
        help=f"The configuration file (default: {DEFAULT_CONFIG}, else built-in defaults).",
    )(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`: the same facts for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def load(config_file: Path | None) -> Any:
    """The settings, or exit 78 with every fault on its own line."""
    from config.errors import ConfigError
    from config.load import load_settings

    file = config_file
    if file is None and DEFAULT_CONFIG.exists():
        file = DEFAULT_CONFIG
    try:
        return load_settings(file, os.environ)
    except ConfigError as error:
        bad_config(error)


def bad_config(error: Exception) -> NoReturn:
    """Say what is wrong and leave with 78, which systemd does not restart."""
    click.echo(f"The configuration cannot be used; nothing was started.\n{error}", err=True)
    raise click.exceptions.Exit(EXIT_BAD_CONFIG)


def reports_no_daemon(command: Callable[..., Any]) -> Callable[..., Any]:
    """A missing daemon is exit 69 with one line, never a traceback."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        from actors.cli.client import DaemonRefusedError, NoDaemonError

        try:
            return command(*args, **kwargs)
        except NoDaemonError as error:
            click.echo(str(error), err=True)
            raise click.exceptions.Exit(EXIT_NO_DAEMON) from None
        except DaemonRefusedError as error:
            click.echo(str(error), err=True)
            raise click.exceptions.Exit(1) from None

    return wrapped
