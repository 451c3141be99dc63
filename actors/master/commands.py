"""The operator's commands on agents, models and engines; each is one signed command or one look."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import yaml

from .main import EXIT_FAILED, EXIT_LATE, dir_option, json_option, operator, show

FINAL = frozenset({"done", "failed", "expired", "cancelled", "refused"})
POLL_S = 10.0
TTL_MS = 3_600_000


def register(cli: click.Group) -> None:
    """Put every command of this file into the group."""
    for command in (agents, agent, events, alerts, metrics, command_group, model, engine):
        cli.add_command(command)


def send(
    directory: Path, agent_id: str, word: str, payload: dict[str, Any], *, wait_s: float | None, as_json: bool
) -> None:
    """Queue a command; with `wait_s` follow it to its end, and exit by how it ended."""
    answer = operator(
        directory,
        "POST",
        f"/v1/agents/{quote(agent_id)}/commands",
        {"word": word, "payload": payload, "ttl_ms": TTL_MS},
    )
    if wait_s is not None:
        answer = _follow(directory, answer, wait_s, quiet=as_json)
    show(answer, as_json=as_json, render="command")
    if wait_s is None or answer["state"] == "done":
        return
    raise click.exceptions.Exit(EXIT_FAILED if answer["state"] in FINAL else EXIT_LATE)


def _follow(directory: Path, answer: dict[str, Any], wait_s: float, *, quiet: bool) -> dict[str, Any]:
    """The command's last state; its progress is a bar for people."""
    from .render import ProgressView

    end = time.monotonic() + wait_s
    with ProgressView(quiet=quiet) as view:
        while answer["state"] not in FINAL and (left := end - time.monotonic()) > 0:
            path = f"/v1/commands/{answer['command_id']}?wait={min(POLL_S, left):.3f}&seen={answer['updated_ms']}"
            answer = operator(directory, "GET", path)
            view.update(answer)
    return answer


def wait_options(command: Any) -> Any:
    """`--wait` and `--timeout`."""
    command = click.option("--timeout", "timeout_s", type=float, default=1_800.0, show_default=True, help="Seconds.")(
        command
    )
    return click.option("--wait", is_flag=True, help="Follow it to its end.")(command)


@click.command()
@dir_option
@json_option
def agents(directory: Path, *, as_json: bool) -> None:
    """List the agents."""
    show(operator(directory, "GET", "/v1/agents"), as_json=as_json, render="agents")


@click.group()
def agent() -> None:
    """One agent."""


@agent.command("show")
@dir_option
@json_option
@click.argument("agent_id")
def agent_show(directory: Path, agent_id: str, *, as_json: bool) -> None:
    """Everything that is known of an agent."""
    show(operator(directory, "GET", f"/v1/agents/{quote(agent_id)}"), as_json=as_json, render="flat")


@agent.command("drain")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
@click.option("--on/--off", "enabled", default=True, help="Take no new engine, or take them again.")
def agent_drain(directory: Path, agent_id: str, timeout_s: float, *, enabled: bool, wait: bool, as_json: bool) -> None:
    """Let an agent take no new engine; those that run go on."""
    payload = {"enabled": enabled}
    send(directory, agent_id, "agent.drain", payload, wait_s=timeout_s if wait else None, as_json=as_json)


@agent.command("rotate")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
def agent_rotate(directory: Path, agent_id: str, timeout_s: float, *, wait: bool, as_json: bool) -> None:
    """Let an agent make a new key; the old one goes once the new one has opened a session."""
    send(directory, agent_id, "agent.rotate", {}, wait_s=timeout_s if wait else None, as_json=as_json)


@agent.command("approve")
@dir_option
@json_option
@click.argument("agent_id")
def agent_approve(directory: Path, agent_id: str, *, as_json: bool) -> None:
    """Let an agent in that waits for it, or that was kept out because two machines had its key."""
    answer = operator(directory, "POST", f"/v1/agents/{quote(agent_id)}/state", {"state": "active"})
    show(answer, as_json=as_json, render="flat")


@agent.command("revoke")
@dir_option
@json_option
@click.argument("agent_id")
def agent_revoke(directory: Path, agent_id: str, *, as_json: bool) -> None:
    """Deregister an agent: its key opens nothing any more; its engines run on."""
    answer = operator(directory, "POST", f"/v1/agents/{quote(agent_id)}/state", {"state": "revoked"})
    show(answer, as_json=as_json, render="flat")


@click.command()
@dir_option
@json_option
@click.argument("agent_id")
def metrics(directory: Path, agent_id: str, *, as_json: bool) -> None:
    """The latest figures that an agent reported."""
    answer = operator(directory, "GET", f"/v1/agents/{quote(agent_id)}")
    show(answer.get("report") or {}, as_json=as_json, render="flat")


@click.command()
@dir_option
@json_option
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--agent", "agent_id", default=None)
def events(directory: Path, agent_id: str | None, *, follow: bool, as_json: bool) -> None:
    """What happened on the agents, oldest first."""
    suffix = f"&agent={quote(agent_id)}" if agent_id else ""
    answer = operator(directory, "GET", f"/v1/events?limit=10000{suffix}")
    show(answer, as_json=as_json, render="events")
    while follow:
        after = max((event["position"] for event in answer["events"]), default=0)
        time.sleep(1.0)
        newer = operator(directory, "GET", f"/v1/events?after={after}{suffix}")
        if newer["events"]:
            show(newer, as_json=as_json, render="events")
            answer = newer


@click.command()
@dir_option
@json_option
def alerts(directory: Path, *, as_json: bool) -> None:
    """Every alert in its newest state."""
    show(operator(directory, "GET", "/v1/alerts"), as_json=as_json, render="alerts")


@click.group("command")
def command_group() -> None:
    """Commands that were sent."""


@command_group.command("show")
@dir_option
@json_option
@click.argument("command_id")
def command_show(directory: Path, command_id: str, *, as_json: bool) -> None:
    """What became of a command."""
    show(operator(directory, "GET", f"/v1/commands/{quote(command_id)}"), as_json=as_json, render="command")


@click.group()
def model() -> None:
    """Models on an agent."""


@model.command("pull")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
@click.argument("uri")
@click.option("--include", multiple=True, help="Pattern of files; may be repeated.")
@click.option("--exclude", multiple=True, help="Pattern of files; may be repeated.")
@click.option("--credential", default=None, help="Name of a credential on the agent.")
def model_pull(
    directory: Path,
    agent_id: str,
    uri: str,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    credential: str | None,
    timeout_s: float,
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Bring a model to an agent, verified.

    \b
    Example:
      mosalama-master model pull AGENT hf://Qwen/Qwen3-8B --wait
    """  # noqa: D301  # \b is click's mark for a block that keeps its lines
    source = {"uri": uri, "include": include, "exclude": exclude, "credential": credential}
    send(directory, agent_id, "model.pull", {"source": source}, wait_s=timeout_s if wait else None, as_json=as_json)


@model.command("remove")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
@click.argument("name")
@click.option("--revision", default=None)
@click.option("--force", is_flag=True, help="Although it is in use.")
def model_remove(
    directory: Path,
    agent_id: str,
    name: str,
    revision: str | None,
    timeout_s: float,
    *,
    force: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Remove a version, or all of a model."""
    payload = {"model": name, "revision": revision, "force": force}
    send(directory, agent_id, "model.remove", payload, wait_s=timeout_s if wait else None, as_json=as_json)


@click.group()
def engine() -> None:
    """Engines on an agent."""


@engine.command("start")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
@click.option("--name", required=True)
@click.option(
    "--spec", "spec_file", type=click.Path(exists=True, path_type=Path), help="A YAML file with the whole spec."
)
@click.option("--kind", type=str)
@click.option("--image", type=str)
@click.option("--model", "model_uri", type=str)
@click.option("--served-name", type=str)
@click.option("--gpus", type=int)
@click.option("--cpus", type=float)
@click.option("--memory-bytes", type=int)
@click.option("--context-length", type=int)
@click.option("--parallel", type=int)
@click.option("--port", type=int)
@click.option("--arg", "extra_args", multiple=True, help="One more argument; must be allowed on the agent.")
def engine_start(
    directory: Path,
    agent_id: str,
    name: str,
    spec_file: Path | None,
    timeout_s: float,
    *,
    wait: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Start an engine.

    \b
    Example:
      mosalama-master engine start AGENT --name chat --kind vllm --image vllm/vllm-openai@sha256:... \\
          --model hf://Qwen/Qwen3-8B --gpus 1 --wait
    """  # noqa: D301  # \b is click's mark for a block that keeps its lines
    payload = {"name": name, "spec": _spec(spec_file, given)}
    send(directory, agent_id, "engine.start", payload, wait_s=timeout_s if wait else None, as_json=as_json)


def _spec(spec_file: Path | None, given: dict[str, Any]) -> dict[str, Any]:
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


def _engine_command(word: str, help_text: str) -> click.Command:
    @click.command(word, help=help_text)
    @dir_option
    @json_option
    @wait_options
    @click.argument("agent_id")
    @click.argument("name")
    @click.option("--drain", "drain_s", type=float, default=30.0, show_default=True, help="Seconds.")
    def command(
        directory: Path, agent_id: str, name: str, drain_s: float, timeout_s: float, *, wait: bool, as_json: bool
    ) -> None:
        payload = {"name": name, "drain_s": drain_s}
        send(directory, agent_id, f"engine.{word}", payload, wait_s=timeout_s if wait else None, as_json=as_json)

    return command


engine.add_command(_engine_command("stop", "Stop an engine; requests in flight may end first."))
engine.add_command(_engine_command("restart", "Start a running engine anew."))


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
