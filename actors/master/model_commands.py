"""The operator's commands on the models of an agent."""

import json
from pathlib import Path
from typing import IO, Any

import click

from protocol.messages.model_source import kind_of

from .options import dir_option, json_option
from .sending import Follow, send, wait_options


def register(cli: click.Group) -> None:
    """Put the group into the command."""
    cli.add_command(model)


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
@click.option("--sha256", default=None, help="Proof of one https:// file.")
@click.option("--priority", type=click.IntRange(0, 9), default=5, show_default=True, help="Higher goes first.")
@click.option(
    "--manifest",
    "manifest_file",
    type=click.File(encoding="utf-8"),
    help='JSON: [{"name": ..., "size_bytes": ..., "sha256": ..., "urls": [...]}, ...]',
)
def model_pull(
    directory: Path,
    agent_id: str,
    manifest_file: IO[str] | None,
    *,
    priority: int,
    follow: Follow,
    as_json: bool,
    **source: Any,
) -> None:
    """Bring a model to an agent, verified: hf://ORG/REPO, https://HOST/FILE, /PATH, or NAME with --manifest.

    \b
    Example:
      mosalama-master model pull AGENT hf://Qwen/Qwen3-8B --wait
    """  # noqa: D301  # \b is click's mark for a block that keeps its lines
    source["kind"] = "manifest" if manifest_file else kind_of(source["uri"])
    if manifest_file is not None:
        try:
            source["files"] = json.load(manifest_file)
        except ValueError as error:
            raise click.BadParameter(f"it is no JSON: {error}", param_hint="--manifest") from error
    send(directory, agent_id, "model.pull", {"source": source, "priority": priority}, follow=follow, as_json=as_json)


@model.command("list")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
def model_list(directory: Path, agent_id: str, *, follow: Follow, as_json: bool) -> None:
    """What is in an agent's store; with --wait as a table."""
    send(directory, agent_id, "model.list", {}, follow=follow, as_json=as_json)


@model.command("remove")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
@click.argument("name")
@click.option("--revision", default=None)
@click.option("--force", is_flag=True, help="Although it is in use.")
def model_remove(
    directory: Path, agent_id: str, name: str, revision: str | None, *, force: bool, follow: Follow, as_json: bool
) -> None:
    """Remove a version, or all of a model."""
    payload = {"model": name, "revision": revision, "force": force}
    send(directory, agent_id, "model.remove", payload, follow=follow, as_json=as_json)


def _of_version(name: str, word: str, help_text: str, **more: Any) -> None:
    @model.command(name, help=help_text)
    @dir_option
    @json_option
    @wait_options
    @click.argument("agent_id")
    @click.argument("model_name", metavar="MODEL")
    @click.argument("revision")
    def command(
        directory: Path, agent_id: str, model_name: str, revision: str, *, follow: Follow, as_json: bool
    ) -> None:
        payload = {"model": model_name, "revision": revision, **more}
        send(directory, agent_id, word, payload, follow=follow, as_json=as_json)


_of_version("pin", "model.pin", "A version shall never be collected.", pinned=True)
_of_version("unpin", "model.pin", "A version may be collected again.", pinned=False)
_of_version("use", "model.use", "A version shall be the current one.")


def _of_transfers(name: str, word: str, help_text: str, **more: Any) -> None:
    @model.command(name, help=help_text)
    @dir_option
    @json_option
    @wait_options
    @click.argument("agent_id")
    @click.argument("model_name", metavar="MODEL")
    @click.option("--revision", default=None, help="Only the transfer of this revision, as it was asked for.")
    def command(
        directory: Path, agent_id: str, model_name: str, revision: str | None, *, follow: Follow, as_json: bool
    ) -> None:
        payload = {"model": model_name, "revision": revision, **more}
        send(directory, agent_id, word, payload, follow=follow, as_json=as_json)


_of_transfers("pause", "model.pause", "Transfers of a model shall rest, over restarts of the agent too.", paused=True)
_of_transfers("resume", "model.pause", "Paused transfers of a model shall go on where they were.", paused=False)
_of_transfers("cancel", "model.cancel", "Transfers of a model shall end; what came is kept for a later pull.")


@model.command("priority")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
@click.argument("name", metavar="MODEL")
@click.argument("priority", type=click.IntRange(0, 9))
@click.option("--revision", default=None, help="Only the transfer of this revision, as it was asked for.")
def model_priority(
    directory: Path, agent_id: str, name: str, priority: int, revision: str | None, *, follow: Follow, as_json: bool
) -> None:
    """Transfers of a model that wait for their turn shall have it earlier (9) or later (0)."""
    payload = {"model": name, "revision": revision, "priority": priority}
    send(directory, agent_id, "model.priority", payload, follow=follow, as_json=as_json)


@model.command("verify")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
@click.argument("name", metavar="MODEL")
@click.option("--revision", default=None, help="None: every version.")
def model_verify(
    directory: Path, agent_id: str, name: str, revision: str | None, *, follow: Follow, as_json: bool
) -> None:
    """Read a model again and compare it with its hashes."""
    payload = {"model": name, "revision": revision}
    send(directory, agent_id, "model.verify", payload, follow=follow, as_json=as_json)


@model.command("gc")
@dir_option
@json_option
@wait_options
@click.argument("agent_id")
@click.option(
    "--free-bytes", type=click.IntRange(0), default=None, help="Until so much is free; none: the agent's floor."
)
@click.option("--dry-run", is_flag=True, help="Say what would go.")
def model_gc(
    directory: Path, agent_id: str, free_bytes: int | None, *, dry_run: bool, follow: Follow, as_json: bool
) -> None:
    """Remove versions that nobody uses, oldest first."""
    payload = {"free_bytes": free_bytes, "dry_run": dry_run}
    send(directory, agent_id, "model.gc", payload, follow=follow, as_json=as_json)
