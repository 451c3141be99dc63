"""One look at this daemon itself: what it takes, how its actors fare. No call of a library: it is looked at often."""

import os
from collections.abc import Callable
from typing import Any, Protocol

from .procfs import TICKS, Kept

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Node(Protocol):
    """What is asked of a node of the supervision tree."""

    @property
    def path(self) -> str:
        """Its place."""

    @property
    def restarts_total(self) -> int:
        """Since the start."""

    @property
    def mailbox_depth(self) -> int:
        """Messages that wait."""

    @property
    def children(self) -> "tuple[Node, ...]":
        """Below it."""


class AgentLook:
    """Keeps what the processor's share needs between two looks; one thread calls it."""

    def __init__(self, kept: Kept, clock: Callable[[], float], tree: Callable[[], Node] | None = None) -> None:
        self._kept, self._clock, self._tree = kept, clock, tree
        self._before: tuple[float, float] | None = None

    def now(self) -> dict[str, Any]:
        """Memory, processor, threads, mailboxes and restarts."""
        figures: dict[str, Any] = {}
        words = (self._kept.raw("/proc/self/statm") or b"").split()
        if len(words) > 1:
            figures["rss_bytes"] = int(words[1]) * PAGE_BYTES
        rest = (self._kept.raw("/proc/self/stat") or b"").rpartition(b") ")[2].split()
        if len(rest) > 17:
            figures["cpu_s_total"] = (int(rest[11]) + int(rest[12])) / TICKS
            figures["threads"] = int(rest[17])
            now_s, before = self._clock(), self._before
            self._before = (now_s, figures["cpu_s_total"])
            if before is not None and now_s > before[0]:
                figures["cpu_cores"] = round((figures["cpu_s_total"] - before[1]) / (now_s - before[0]), 4)
        return figures if self._tree is None else figures | _of_tree(self._tree())


def _of_tree(tree: Node) -> dict[str, Any]:
    rows, waiting, restarts = [tree], {}, 0
    for row in rows:
        rows.extend(row.children)
        restarts += row.restarts_total
        if not row.children:
            waiting[row.path] = row.mailbox_depth
    return {
        "actors": len(waiting),
        "restarts_total": restarts,
        "mailbox_depth_max": max(waiting.values(), default=0),
        "mailbox_depth": waiting,
    }
