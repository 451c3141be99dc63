"""The operator's commands on agents and on what they tell; each is one signed command or one look."""

import time
from pathlib import Path
from urllib.parse import quote

import click

from .options import dir_option, json_option, operator, show
from .sending import Follow, send, wait_options


def register(cli: click.Group) -> None:
    """Put every command of this file into the group."""
    for command in (status, agents, agent, events, alerts, metrics, command_group):
        cli.add_command(command)


@click.command()
@dir_option
@json_option
def status(directory: Path, *, as_json: bool) -> None:
    """How the master itself is: agents, days left of its keyset, what it refused."""
    show(operator(directory, "GET", "/v1/status"), as_json=as_json, render="flat")


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
def agent_drain(directory: Path, agent_id: str, *, enabled: bool, follow: Follow, as_json: bool) -> None:
    """Let an agent take no new engine; those that run go on."""
    send(directory, agent_id, "agent.drain", {"enabled": enabled}, follow=follow, as_json=as_json)


def _plain(name: str, word: str, help_text: str) -> None:
    @agent.command(name, help=help_text)
    @dir_option
    @json_option
    @wait_options
    @click.argument("agent_id")
    def command(directory: Path, agent_id: str, *, follow: Follow, as_json: bool) -> None:
        send(directory, agent_id, word, {}, follow=follow, as_json=as_json)


_plain("status", "agent.status", "Ask an agent how its conversation with this master is.")
_plain("diagnose", "agent.diagnose", "Let an agent examine itself; one row for each check.")
_plain("rotate", "agent.rotate", "Let an agent make a new key; the old one goes once the new one has opened a session.")
_plain("reload", "agent.reload", "Let an agent read its configuration again.")


@agent.command("update")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
@click.argument("release")
def agent_update(directory: Path, agent_id: str, release: str, *, follow: Follow, as_json: bool) -> None:
    """Let an agent become this release."""
    send(directory, agent_id, "agent.update", {"release": release}, follow=follow, as_json=as_json)


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
