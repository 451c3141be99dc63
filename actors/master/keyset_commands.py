"""`mosalama-master keyset`: show, renew, rotate, revoke, sign with a root, publish."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import click

from protocol.errors import ProtocolError
from protocol.keys import KeyPair, key_id
from protocol.keyset import Keyset, KeysetBody, Role

from .keyset_work import NEXT_FILE, Change, make_roots, prepare, publish, sign, signed_by
from .options import dir_option, json_option, show

ROLES = {"link": Role.LINK, "command": Role.COMMAND, "token": Role.TOKEN}
WARN_DAYS = 30


def register(cli: click.Group) -> None:
    """Put the group into the command."""
    cli.add_command(keyset)


def root_option(command: Any) -> Any:
    """`--root FILE`: sign at once with these roots, and publish when they are enough."""
    return click.option(
        "--root",
        "root_files",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A root's key: signs at once, and publishes when they are enough. May be repeated.",
    )(command)


@click.group()
def keyset() -> None:
    """The signed list of the master's own keys.

    \b
    With the root at hand:
      mosalama-master keyset renew --dir D --root root.key
    With roots offline, t of n:
      mosalama-master keyset rotate command --dir D          # writes D/keyset.next
      mosalama-master keyset sign keyset.next --root r1.key  # where the root is; once for each
      mosalama-master keyset publish --dir D
    """  # noqa: D301  # \b is click's mark for a block that keeps its lines


@keyset.command("show")
@dir_option
@json_option
def keyset_show(directory: Path, *, as_json: bool) -> None:
    """Versions, keys, days left, and what waits for signatures."""
    from .keys import load_keys
    from .service import now_ms

    with _told():
        keys = load_keys(directory)
        waiting = directory / NEXT_FILE
        answer = _shown(keys.keyset, now_ms()) | {
            "waits_for_signatures": str(waiting) if waiting.exists() else None,
            "signed_by": [key_id(public).hex() for public in signed_by(waiting)] if waiting.exists() else [],
        }
    show(answer, as_json=as_json, render="keyset")


@keyset.command("renew")
@dir_option
@json_option
@root_option
@click.option("--days", type=click.IntRange(1, 3_650), default=365, show_default=True, help="How long it is good.")
def keyset_renew(directory: Path, days: int, root_files: tuple[Path, ...], *, as_json: bool) -> None:
    """The same keys, good for longer."""
    _change(directory, Change(life_ms=days * 86_400_000), root_files, as_json=as_json)


@keyset.command("rotate")
@dir_option
@json_option
@root_option
@click.argument("roles", nargs=-1, required=True, type=click.Choice(list(ROLES)))
def keyset_rotate(directory: Path, roles: tuple[str, ...], root_files: tuple[Path, ...], *, as_json: bool) -> None:
    """A new key for a role; the one before holds for seven days more, so that no waiting command is lost."""
    _change(directory, Change(rotate=tuple(ROLES[role] for role in roles)), root_files, as_json=as_json)


@keyset.command("revoke")
@dir_option
@json_option
@root_option
@click.argument("kids", nargs=-1, required=True)
def keyset_revoke(directory: Path, kids: tuple[str, ...], root_files: tuple[Path, ...], *, as_json: bool) -> None:
    """A key holds no more, from now on; a role that loses its key gets a new one."""
    try:
        revoke = tuple(bytes.fromhex(kid) for kid in kids)
    except ValueError:
        raise click.BadParameter("a key id is 16 hex digits; see: mosalama-master keyset show") from None
    _change(directory, Change(revoke=revoke), root_files, as_json=as_json)


@keyset.command("roots")
@dir_option
@json_option
@root_option
@click.option("--public", "publics", multiple=True, required=True, help="Hex of a root's public key; may be repeated.")
@click.option("--threshold", type=click.IntRange(1, 16), default=1, show_default=True, help="So many must sign.")
def keyset_roots(
    directory: Path, publics: tuple[str, ...], threshold: int, root_files: tuple[Path, ...], *, as_json: bool
) -> None:
    """Another set of roots; a threshold of the old set and of the new one must sign. Agents follow."""
    try:
        keys = [bytes.fromhex(public) for public in publics]
    except ValueError:
        raise click.BadParameter("a public key is 64 hex digits; see: mosalama-master keyset root-key") from None
    with _told():
        roots = make_roots(keys, threshold)
    _change(directory, Change(roots=roots), root_files, as_json=as_json)


@keyset.command("root-key")
@json_option
@click.argument("file", type=click.Path(path_type=Path))
def keyset_root_key(file: Path, *, as_json: bool) -> None:
    """Make a new root in FILE, on a machine that stays offline; its public key is printed."""
    from .keys import new_key_file

    with _told():
        root = KeyPair.from_seed(new_key_file(file))
    click.echo(json.dumps({"file": str(file), "public": root.public.hex()}) if as_json else root.public.hex())


@keyset.command("sign")
@json_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--root", "root_file", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def keyset_sign(file: Path, root_file: Path, *, as_json: bool) -> None:
    """Look at a prepared keyset and sign it with one root."""
    from .service import now_ms

    with _told():
        body = sign(file, _root(root_file))
    show(_body(body, now_ms()), as_json=as_json, render="keyset")


@keyset.command("publish")
@dir_option
@json_option
def keyset_publish(directory: Path, *, as_json: bool) -> None:
    """Take the prepared keyset into use; a running master and its agents get it at once."""
    with _told():
        _publish(directory, as_json=as_json)


def _change(directory: Path, change: Change, root_files: tuple[Path, ...], *, as_json: bool) -> None:
    from .service import now_ms

    with _told():
        body = prepare(directory, change, now_ms())
        for file in root_files:
            sign(directory / NEXT_FILE, _root(file))
        if root_files:
            _publish(directory, as_json=as_json)
            return
    show(_body(body, now_ms()), as_json=as_json, render="keyset")
    click.echo(
        f"{directory / NEXT_FILE} waits for {body.roots.threshold} signature(s): mosalama-master keyset sign"
        f" {directory / NEXT_FILE} --root FILE, then: mosalama-master keyset publish --dir {directory}",
        err=True,
    )


def _publish(directory: Path, *, as_json: bool) -> None:
    from .client import SOCKET_FILE, OperatorError, ask
    from .service import now_ms

    found = publish(directory, now_ms())
    running = (directory / SOCKET_FILE).exists()
    try:
        told = ask(directory, "POST", "/v1/keyset/reload") if running else None
    except OperatorError as error:
        told = None
        click.echo(f"no running master was told: {error}", err=True)
    show(_shown(found, now_ms()) | {"running_master": told}, as_json=as_json, render="keyset")


def _root(file: Path) -> KeyPair:
    raw = file.read_bytes()
    if len(raw) != 32:
        raise click.BadParameter(f"{file} is not a root's key: it has {len(raw)} bytes and not 32", param_hint="--root")
    return KeyPair.from_seed(raw)


class _told:  # noqa: N801  # reads as a word where it is used
    """Whatever is wrong is one line and exit code 1."""

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Say it."""
        if isinstance(error, ProtocolError | OSError):
            click.echo(f"refused: {error}", err=True)
            raise click.exceptions.Exit(1) from None


def _shown(found: Keyset, now_ms: int) -> dict[str, Any]:
    return _body(found.body, now_ms)


def _body(body: KeysetBody, now_ms: int) -> dict[str, Any]:
    return {
        "version": body.version,
        "expires": _day(body.expires_ms),
        "days_left": round((body.expires_ms - now_ms) / 86_400_000, 1),
        "keys": [
            {"kid": key_id(row.public).hex(), "role": row.role, "not_after": _day(row.not_after_ms)}
            for row in body.keys
        ],
        "revoked": [kid.hex() for kid in body.revoked],
        "roots": {
            "threshold": body.roots.threshold,
            "kids": [key_id(public).hex() for public in body.roots.publics],
            "pin": body.roots.pin().hex(),
        },
    }


def _day(at_ms: int) -> str:
    return dt.datetime.fromtimestamp(at_ms / 1000, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
