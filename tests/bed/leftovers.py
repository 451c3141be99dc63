"""After each test: no thread, process, environment variable or folder is other than before it.

What fixtures of a wider scope started counts as before.
"""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.bed.processes import wait_until

T = TypeVar("T")

SETTLE_S = 3.0
"""What was told to end may take this long to be gone."""
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""Helper processes of the standard library, which live as long as the interpreter does."""


@pytest.fixture(autouse=True)
def nothing_left_over() -> Iterator[None]:
    """Fails the test that left something behind, and says what."""
    threads, children = set(threading.enumerate()), _children()
    environment, folder = _environment(), Path.cwd()
    yield
    left = [
        f"thread {name}" for name in _settled(lambda: {one.name for one in threading.enumerate() if one not in threads})
    ]
    left += [f"process {pid}: {_words(pid)}" for pid in _settled(lambda: _children() - children)]
    left += [f"variable {name}" for name in {name for name, _ in environment ^ _environment()}]
    left += [f"working folder {Path.cwd()}"] * (Path.cwd() != folder)
    if left:
        pytest.fail("the test left over: " + "; ".join(left), pytrace=False)


def _environment() -> set[tuple[str, str]]:
    """All variables but pytest's own word about where it is."""
    return {(name, value) for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def _settled(look: Callable[[], set[T]]) -> set[T]:
    """What is still there after a short while."""
    try:
        wait_until(lambda: not look(), timeout_s=SETTLE_S, what="the end of what a test started")
    except TimeoutError:
        return look()
    return set()


def _children() -> set[int]:
    """Process ids of our children, without the helpers of the standard library."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found |= {int(pid) for pid in (task / "children").read_text(encoding="ascii").split()}
        except FileNotFoundError:  # the thread has ended
            continue
    return {pid for pid in found if not any(helper in _words(pid) for helper in HELPERS)}


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except FileNotFoundError:
        return "ended"
