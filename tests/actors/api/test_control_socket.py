"""The control socket's file, watched from another thread while servers come and go."""

import asyncio
import collections
import contextlib
import socket
import threading

from aiohttp import web

from actors.api.control_socket import open_socket
from tests.bed.places import short_folder


def test_the_control_socket_is_there_only_while_it_answers():
    """Watched by another thread from before the bind: no look finds the file and is refused, or finds another mode."""
    run_dir, found = short_folder(), collections.Counter()
    wanted_down, answered = threading.Event(), threading.Semaphore(0)
    begun = threading.Semaphore(0)

    def watch():
        while begun.acquire(timeout=10) and not wanted_down.is_set():
            look_until_answered()
            answered.release()

    def look_until_answered():
        while True:
            try:
                mode = (run_dir / "control.sock").stat().st_mode & 0o777
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(10)
                    connection.connect(str(run_dir / "control.sock"))
                    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    connection.recv(100)
            except FileNotFoundError:
                continue
            except ConnectionRefusedError:
                found["refused"] += 1
            else:
                found[oct(mode)] += 1
                return

    watcher = threading.Thread(target=watch, name="watch-socket")

    async def serve():
        for _ in range(200):
            async with contextlib.AsyncExitStack() as stack:
                runner = web.AppRunner(web.Application())
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                begun.release()
                await open_socket(stack, runner, run_dir)
                assert await asyncio.to_thread(answered.acquire, timeout=10)

    watcher.start()
    try:
        asyncio.run(asyncio.wait_for(serve(), 60))
    finally:
        wanted_down.set()
        begun.release()
        watcher.join(15)
    assert set(found) == {"0o660"}, found
    assert list(run_dir.iterdir()) == [], "and withdrawn at the end"
    run_dir.rmdir()


def test_an_incarnation_that_ends_late_leaves_the_next_ones_socket():
    run_dir = short_folder()

    async def serve():
        async with contextlib.AsyncExitStack() as later:
            async with contextlib.AsyncExitStack() as earlier:
                for stack in (earlier, later):
                    runner = web.AppRunner(web.Application())
                    await runner.setup()
                    stack.push_async_callback(runner.cleanup)
                    await open_socket(stack, runner, run_dir)
            assert [file.name for file in run_dir.iterdir()] == ["control.sock"]

    asyncio.run(serve())
    assert list(run_dir.iterdir()) == []
    run_dir.rmdir()
