"""The operator's commands on the engines of an agent."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import yaml

from actors.terminal import tame

from .options import EXIT_FAILED, dir_option, json_option, operator, show
from .sending import FINAL, Follow, queue, send, wait_options

STREAM_POLL_S = 10.0


def register(cli: click.Group) -> None:
    """Put the group into the command."""
    cli.add_command(engine)


@click.group()
def engine() -> None:
    """Engines on an agent."""


SPEC_OPTIONS = (
    click.option("--name", required=True),
    click.option(
        "--spec", "spec_file", type=click.Path(exists=True, path_type=Path), help="A YAML file with the whole spec."
    ),
    click.option("--kind", type=str),
    click.option("--image", type=str),
    click.option("--model", "model_uri", type=str),
    click.option("--served-name", type=str),
    click.option("--gpus", type=int),
    click.option("--cpus", type=float),
    click.option("--memory-bytes", type=int),
    click.option("--context-length", type=int),
    click.option("--parallel", type=int),
    click.option("--port", type=int),
    click.option("--arg", "extra_args", multiple=True, help="One more argument; must be allowed on the agent."),
)


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The whole intent, from a file and from options."""
    for option in reversed(SPEC_OPTIONS):
        command = option(command)
    return command


@engine.command("start")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
@spec_options
def engine_start(directory: Path, agent_id: str, name: str, *, follow: Follow, as_json: bool, **given: Any) -> None:
    """Start an engine.

    \b
    Example:
      mosalama-master engine start AGENT --name chat --kind vllm --image vllm/vllm-openai@sha256:... \\
          --model hf://Qwen/Qwen3-8B --gpus 1 --wait
    """  # noqa: D301  # \b is click's mark for a block that keeps its lines
    payload = {"name": name, "spec": _spec(given)}
    send(directory, agent_id, "engine.start", payload, follow=follow, as_json=as_json)


@engine.command("update")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
@spec_options
def engine_update(directory: Path, agent_id: str, name: str, *, follow: Follow, as_json: bool, **given: Any) -> None:
    """Let a running engine become this; the last good version comes back if it does not work."""
    payload = {"name": name, "spec": _spec(given)}
    send(directory, agent_id, "engine.update", payload, follow=follow, as_json=as_json)


def _spec(given: dict[str, Any]) -> dict[str, Any]:
    spec_file = given.pop("spec_file")
    spec: dict[str, Any] = yaml.safe_load(spec_file.read_text()) if spec_file else {}
    model_uri, gpus = given.pop("model_uri"), given.pop("gpus")
    spec |= {key: value for key, value in given.items() if value not in {None, ()}}
    if model_uri:
        spec["model"] = {"uri": model_uri}
    if gpus is not None:
        spec["gpus"] = {"count": gpus}
    missing = [key for key in ("kind", "image", "model") if key not in spec]
    if missing:
        raise click.UsageError(f"an engine needs --{', --'.join(missing)} (or --spec FILE)")
    return spec


def _of_engine(word: str, help_text: str) -> None:
    @engine.command(word, help=help_text)
    @dir_option
    @json_option
    @wait_options
    @click.argument("agent_id")
    @click.argument("name")
    @click.option("--drain", "drain_s", type=float, default=30.0, show_default=True, help="Seconds.")
    def command(directory: Path, agent_id: str, name: str, drain_s: float, *, follow: Follow, as_json: bool) -> None:
        payload = {"name": name, "drain_s": drain_s}
        send(directory, agent_id, f"engine.{word}", payload, follow=follow, as_json=as_json)


@engine.command("stop")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
@click.argument("name")
@click.option("--drain", "drain_s", type=float, default=30.0, show_default=True, help="Seconds.")
@click.option("--confirm", "confirmed", is_flag=True, help="It is meant, though it is one of many in a short time.")
def engine_stop(
    directory: Path, agent_id: str, name: str, drain_s: float, *, confirmed: bool, follow: Follow, as_json: bool
) -> None:
    """Stop an engine; requests in flight may end first.

    An agent holds a stop that would be one of many within a minute (E_CONFIRM) until it comes with --confirm.
    """
    payload = {"name": name, "drain_s": drain_s, "confirmed": confirmed}
    send(directory, agent_id, "engine.stop", payload, follow=follow, as_json=as_json)


_of_engine("restart", "Start a running engine anew.")


@engine.command("list")
@dir_option
@json_option
@click.argument("agent_id")
def engine_list(directory: Path, agent_id: str, *, as_json: bool) -> None:
    """The engines that an agent last reported."""
    report = operator(directory, "GET", f"/v1/agents/{quote(agent_id)}").get("report") or {}
    found = {key: value for key, value in report.items() if key.startswith("engine.")}
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        show(found, as_json=False, render="flat")


@engine.command("logs")
@dir_option
@json_option
@click.argument("agent_id")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option(
    "--lines", type=click.IntRange(0, 10_000), default=100, show_default=True, help="Of those that are there."
)
@click.option("--limit-s", type=click.FloatRange(1, 86_400), default=3_600.0, show_default=True, help="End after this.")
def engine_logs(
    directory: Path, agent_id: str, name: str, lines: int, limit_s: float, *, follow: bool, as_json: bool
) -> None:
    """An engine's log, as it comes; what was left out is said."""
    payload = {"name": name, "lines": lines, "follow": follow, "limit_s": limit_s}
    stream = queue(directory, agent_id, "engine.logs", payload, 60.0)["command_id"]
    try:
        _print_stream(directory, stream, as_json=as_json)
    except KeyboardInterrupt:
        queue(directory, agent_id, "engine.logs_stop", {"stream": stream}, 60.0)
        raise click.exceptions.Exit(0) from None


def _print_stream(directory: Path, stream: str, *, as_json: bool) -> None:
    """Every chunk in its order, until the stream or its command has ended."""
    after = 0
    while True:
        command = operator(directory, "GET", f"/v1/commands/{stream}")
        found = operator(directory, "GET", f"/v1/streams/{stream}?after={after}&wait={STREAM_POLL_S}")
        for chunk in found["chunks"]:
            after = chunk["sequence"]
            _print_chunk(chunk, as_json=as_json)
            if chunk["end"]:
                return
        if command["state"] in FINAL and not found["chunks"]:
            if command["state"] != "done":
                show(command, as_json=as_json, render="command")
                raise click.exceptions.Exit(EXIT_FAILED)
            return


def _print_chunk(chunk: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(chunk))
        return
    if chunk["gap_bytes"]:
        click.echo(f"... {chunk['gap_bytes']} bytes were left out ...", err=True)
    for line in chunk["lines"]:
        click.echo(tame(line))
