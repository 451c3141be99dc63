"""The door for people of this machine: a unix socket that is there only while it answers."""

import contextlib
from pathlib import Path

from aiohttp import web

SOCKET_NAME = "control.sock"
MODE = 0o660


async def open_socket(stack: contextlib.AsyncExitStack, runner: web.AppRunner, run_dir: Path) -> None:
    """Serve `runner` on `run_dir`/control.sock until `stack` unwinds.

    A socket that is bound but not listened to yet refuses everyone, and for a moment has the mode of the umask: it is
    made under another name and takes its own with one rename. The same rename replaces a dead daemon's socket.
    """
    socket, fresh = run_dir / SOCKET_NAME, run_dir / "control.new"
    fresh.unlink(missing_ok=True)
    await web.UnixSite(runner, str(fresh)).start()
    fresh.chmod(MODE)
    inode = fresh.stat().st_ino
    fresh.replace(socket)
    stack.callback(_withdraw, socket, inode)


def _withdraw(socket: Path, inode: int) -> None:
    """Not the socket of an incarnation that came after this one and has taken the name already."""
    with contextlib.suppress(FileNotFoundError):
        if socket.stat().st_ino == inode:
            socket.unlink()
