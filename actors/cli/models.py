"""`mosalamaagent model ...`: commands on the model store of this machine, over the control socket.

The daemon keeps each in its journal before it answers, as it does the master's; it goes on when this program ends.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from .client import fetch, send
from .options import config_option, json_option, load, reports_no_daemon

POLL_S = 0.25
FINAL = frozenset({"done", "failed", "expired", "cancelled"})
EXIT_FAILED = 1
EXIT_GOES_ON = 75
"""Not ended within --timeout; it goes on in the daemon."""


@click.group()
def model() -> None:
    """Bring, check, keep and remove models on this machine.

    \b
    Examples:
      mosalamaagent model pull hf://Qwen/Qwen3-8B
      mosalamaagent model pull hf://Qwen/Qwen3-8B-GGUF:Qwen3-8B-Q4_K_M.gguf
      mosalamaagent model verify Qwen/Qwen3-8B
      mosalamaagent model gc --dry-run

    Exit codes: 0 done, 1 the command failed, 2 wrong use, 69 no daemon answers, 75 it goes on in the daemon.
    """  # noqa: D301  # \b is click's mark for a block that keeps its lines


def _shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that every command here has."""
    wait = click.option("--wait/--no-wait", default=True, help="Wait for the end and show how far it is.")
    limit = click.option("--timeout", "timeout_s", type=float, default=None, help="Wait at most so many seconds.")
    return config_option(json_option(wait(limit(reports_no_daemon(command)))))


@model.command("pull")
@_shared
@click.argument("source")
@click.option("--include", multiple=True, help="Pattern of files (* stands for slashes too); may be repeated.")
@click.option("--exclude", multiple=True, help="Pattern of files that are left out; may be repeated.")
@click.option("--sha256", default=None, help="Proof of one https:// file.")
@click.option("--credential", default=None, help="Name of a credential in downloads.credentials.")
@click.option("--priority", type=click.IntRange(0, 9), default=5, show_default=True, help="Higher goes first.")
@click.option(
    "--manifest",
    "manifest_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='JSON: [{"name": ..., "size_bytes": ..., "sha256": ..., "urls": [...]}, ...]',
)
def pull(config_file: Path | None, source: str, manifest_file: Path | None, *, priority: int, **given: Any) -> None:
    """Bring a model, verified, resumed where an earlier try ended.

    \b
    SOURCE is one of:
      hf://ORG/REPO[@REVISION][:FILE]   of the hub, or of the mirror in downloads.hub_url
      https://HOST/FILE --sha256 HEX    one file whose hash you know
      /PATH                             a file or folder on this machine (policy.sources must allow it)
      NAME --manifest FILE              files with sizes, hashes and mirrors
      SCHEME://WHAT                     of an installed source
    """  # noqa: D301  # \b is click's mark for a block that keeps its lines
    wanted: dict[str, Any] = {name: given.pop(name) for name in ("include", "exclude", "sha256", "credential")}
    wanted |= {"uri": source, "kind": _kind(source, manifest_file)}
    if manifest_file is not None:
        try:
            wanted["files"] = json.loads(manifest_file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise click.BadParameter(f"{manifest_file} is no JSON: {error}", param_hint="--manifest") from error
    _run(config_file, "model.pull", {"source": wanted, "priority": priority}, **given)


def _kind(source: str, manifest_file: Path | None) -> str:
    if manifest_file is not None:
        return "manifest"
    if source.startswith("/"):
        return "path"
    scheme = source.partition("://")[0]
    return {"hf": "hub", "http": "https", "https": "https"}.get(scheme, "plugin" if "://" in source else "hub")


def _of_transfers(name: str, word: str, help_text: str, **more: Any) -> None:
    @model.command(name, help=help_text)
    @_shared
    @click.argument("model_name", metavar="NAME")
    @click.option("--revision", default=None, help="Only the transfer of this revision, as it was asked for.")
    def command(config_file: Path | None, model_name: str, revision: str | None, **given: Any) -> None:
        _run(config_file, word, {"model": model_name, "revision": revision, **more}, **given)


_of_transfers(
    "pause", "model.pause", "Let the transfers of a model rest, over restarts too; what came stays.", paused=True
)
_of_transfers("resume", "model.pause", "Let paused transfers of a model go on where they were.", paused=False)
_of_transfers("cancel", "model.cancel", "End the transfers of a model; what came stays for a later pull.")


@model.command("priority")
@_shared
@click.argument("name")
@click.argument("priority", type=click.IntRange(0, 9))
@click.option("--revision", default=None, help="Only the transfer of this revision, as it was asked for.")
def priority(config_file: Path | None, name: str, priority: int, revision: str | None, **given: Any) -> None:
    """Let the transfers of a model that wait for their turn have it earlier (9) or later (0)."""
    _run(config_file, "model.priority", {"model": name, "revision": revision, "priority": priority}, **given)


@model.command("verify")
@_shared
@click.argument("name")
@click.option("--revision", default=None, help="Commit (7 digits are enough), branch or tag; all versions without it.")
def verify(config_file: Path | None, name: str, revision: str | None, **given: Any) -> None:
    """Read a model again and compare every file with its SHA-256; exit 1 names what is damaged."""
    _run(config_file, "model.verify", {"model": name, "revision": revision}, **given)


@model.command("remove")
@_shared
@click.argument("name")
@click.option("--revision", default=None, help="Commit (7 digits are enough), branch or tag; all versions without it.")
@click.option("--force", is_flag=True, help="Although it is pinned or an engine uses it.")
def remove(config_file: Path | None, name: str, revision: str | None, *, force: bool, **given: Any) -> None:
    """Remove a version, or all of a model."""
    _run(config_file, "model.remove", {"model": name, "revision": revision, "force": force}, **given)


@model.command("pin")
@_shared
@click.argument("name")
@click.argument("revision", default="current")
def pin(config_file: Path | None, name: str, revision: str, **given: Any) -> None:
    """Keep a version (the current one without REVISION) whatever the space."""
    _run(config_file, "model.pin", {"model": name, "revision": revision, "pinned": True}, **given)


@model.command("unpin")
@_shared
@click.argument("name")
@click.argument("revision", default="current")
def unpin(config_file: Path | None, name: str, revision: str, **given: Any) -> None:
    """A version may be collected again."""
    _run(config_file, "model.pin", {"model": name, "revision": revision, "pinned": False}, **given)


@model.command("use")
@_shared
@click.argument("name")
@click.argument("revision")
def use(config_file: Path | None, name: str, revision: str, **given: Any) -> None:
    """Make a version the current one: engines that name no revision get it when they start next."""
    _run(config_file, "model.use", {"model": name, "revision": revision}, **given)


@model.command("gc")
@_shared
@click.option("--dry-run", is_flag=True, help="Only say what would go, and what stays and why.")
@click.option("--free-bytes", type=click.IntRange(min=0), default=None, help="Until so much may come.")
def gc(config_file: Path | None, *, dry_run: bool, free_bytes: int | None, **given: Any) -> None:
    """Remove versions that nobody uses, the longest unused first, and unfinished downloads that are too old."""
    _run(config_file, "model.gc", {"dry_run": dry_run, "free_bytes": free_bytes}, **given)


def _run(
    config_file: Path | None,
    word: str,
    payload: Mapping[str, Any],
    *,
    as_json: bool,
    wait: bool,
    timeout_s: float | None,
) -> None:
    """Send, wait, show; the exit code says how it ended."""
    from actors.cli import model_views

    run_dir = load(config_file).paths.run_dir
    command_id = send(run_dir, word, payload)
    if not wait:
        click.echo(json.dumps({"command_id": command_id}) if as_json else f"accepted: {command_id}")
        return
    until = None if timeout_s is None else time.monotonic() + timeout_s
    with model_views.Progress(shown=not as_json) as progress:
        while (answer := fetch(run_dir, f"/v1/commands/{command_id}"))["state"] not in FINAL:
            if until is not None and time.monotonic() > until:
                click.echo(f"{command_id} goes on; see: mosalamaagent models", err=True)
                raise click.exceptions.Exit(EXIT_GOES_ON)
            if progress.wanted:
                progress.show(fetch(run_dir, "/v1/models")["transfers"])
            time.sleep(POLL_S)
    if as_json:
        click.echo(json.dumps({"command_id": command_id, **answer}, indent=2))
    else:
        model_views.outcome(word, answer)
    if answer["state"] != "done":
        raise click.exceptions.Exit(EXIT_FAILED)
