"""One signed command: queue it, follow it to its end if asked, and exit by how it ended."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from .options import EXIT_FAILED, EXIT_LATE, operator, show

FINAL = frozenset({"done", "failed", "expired", "cancelled", "refused"})
POLL_S = 10.0


@dataclass(frozen=True, slots=True)
class Follow:
    """How long the command may wait for its agent, and whether we wait for its end."""

    ttl_s: float = 3_600.0
    wait_s: float | None = None


def wait_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--wait`, `--timeout` and `--ttl`, given to the command as `follow`."""

    @functools.wraps(command)
    def wrapped(*args: Any, wait: bool, timeout_s: float, ttl_s: float, **others: Any) -> Any:
        return command(*args, follow=Follow(ttl_s, timeout_s if wait else None), **others)

    options = (
        click.option(
            "--ttl",
            "ttl_s",
            type=click.FloatRange(1, 86_400),
            default=3_600.0,
            show_default=True,
            help="Seconds that it may wait for an agent that is away.",
        ),
        click.option("--timeout", "timeout_s", type=float, default=1_800.0, show_default=True, help="Of --wait."),
        click.option("--wait", is_flag=True, help="Follow it to its end."),
    )
    for option in options:
        wrapped = option(wrapped)
    return wrapped


def queue(directory: Path, agent_id: str, word: str, payload: dict[str, Any], ttl_s: float) -> dict[str, Any]:
    """Sign and queue a command; what is known of it."""
    body = {"word": word, "payload": payload, "ttl_ms": int(ttl_s * 1000)}
    answer: dict[str, Any] = operator(directory, "POST", f"/v1/agents/{quote(agent_id)}/commands", body)
    return answer


def send(directory: Path, agent_id: str, word: str, payload: dict[str, Any], *, follow: Follow, as_json: bool) -> None:
    """Queue a command; with `--wait` follow it to its end, and exit by how it ended."""
    answer = queue(directory, agent_id, word, payload, follow.ttl_s)
    if follow.wait_s is not None:
        answer = _follow(directory, answer, follow.wait_s, quiet=as_json)
    show(answer, as_json=as_json, render="command")
    if follow.wait_s is None or answer["state"] == "done":
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
