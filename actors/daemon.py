"""Composition root: log, directories, signals, the tree up, wait, the tree down; owns the process's exit code."""

import contextlib
import faulthandler
import fcntl
import gc
import os
import signal
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from actors.clock import system_wall_clock
from actors.downloads.errors import StoreError
from actors.log.setup import Log, configure
from actors.supervision.errors import StartFailed
from actors.supervision.events import SupervisionEvent
from actors.supervision.heartbeat import Heartbeat
from actors.supervision.sd_notify import Notifier
from actors.supervision.system import System
from actors.tree import build
from config.settings import Settings

EXIT_OK = 0
EXIT_START = 70
EXIT_TEMPORARY = 75
DIRECTORY_MODE = 0o700
LOOK_S = 1.0
"""Between two looks at the tree's exit code."""
START_S = 60.0
STOP_S = 30.0
LEVEL_OF = {"info": "info", "warning": "warning", "error": "error", "critical": "critical"}


class NotOursError(Exception):
    """A directory cannot be used, or another daemon owns it."""


class Daemon:
    """One run of the agent; `run` returns the exit code and is called in the main thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._notifier = Notifier()
        self._wake = threading.Event()
        self._stopping = ""
        self._reload_refused = False
        self._system: System | None = None
        self._log: Any = None
        self._output: Log | None = None

    def run(self) -> int:
        """Start everything, wait for a signal or the tree's end, stop everything."""
        try:
            lock = self._prepare()
        except NotOursError as error:
            sys.stderr.write(f"{error}\n")
            return EXIT_TEMPORARY
        log = self._output = configure(self._settings.log, self._settings.paths.log_dir)
        self._log = structlog.get_logger().bind(actor="daemon")
        try:
            with self._signals():
                return self._live()
        finally:
            log.close()
            os.close(lock)

    # -- before ----------------------------------------------------------------------------------------------

    def _prepare(self) -> int:
        """Directories of our own, and the lock that keeps a second daemon away from the same state."""
        os.umask(0o077)
        faulthandler.enable()
        paths = self._settings.paths
        for directory in (paths.state_dir, paths.run_dir, paths.log_dir):
            _make_directory(directory)
        file = paths.state_dir / "daemon.lock"
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise NotOursError(
                f"{paths.state_dir}: another mosalamaagent runs with this state directory; stop it, or give this"
                " one a directory of its own (paths.state_dir)"
            ) from None
        return descriptor

    # -- between ---------------------------------------------------------------------------------------------

    def _live(self) -> int:
        self._log.info("starting", version=version("mosalamaagent"), pid=os.getpid())
        self._notifier.status("starting")
        try:
            system = self._system = System(
                build(self._settings, self._the_system, system_wall_clock, self._output),
                on_event=self._on_supervision_event,
                settings=self._settings.supervision,
            )
            system.start(START_S)
        except StartFailed as error:
            self._log.error("start_failed", why=str(error))
            sys.stderr.write(f"mosalamaagent could not start: {error}\n")
            return EXIT_START
        except StoreError as error:
            self._log.error("start_failed", why=str(error), do=error.do)
            sys.stderr.write(f"mosalamaagent could not start: {error}; {error.do}\n")
            return EXIT_TEMPORARY
        gc.freeze()  # what is alive now lives to the end: the collector need not look at it again
        heartbeat = Heartbeat(system, self._notifier)
        heartbeat.start()
        self._notifier.ready("running")
        self._log.info("ready")
        self._wait(system)
        heartbeat.stop()
        return self._end(system)

    def _the_system(self) -> System:
        assert self._system is not None, "an actor asked for the system before there was one"
        return self._system

    def _wait(self, system: System) -> None:
        """Until a signal asks to stop or the tree has ended."""
        while not self._stopping and system.exit_code is None:
            self._wake.wait(LOOK_S)
            self._wake.clear()
            if self._reload_refused:
                self._reload_refused = False
                if self._output is not None and self._output.sink is not None:
                    self._output.sink.reopen()
                self._log.warning(
                    "reload_refused", why="only the log was opened anew; restart the service for new settings"
                )

    def _end(self, system: System) -> int:
        code = system.exit_code
        if code is not None:
            self._last_words(code, system.exit_cause)
        self._log.info("stopping", why=self._stopping)
        self._notifier.stopping(self._stopping)
        system.stop(STOP_S)
        self._log.info("stopped")
        return EXIT_OK

    def _last_words(self, code: int, cause: str) -> None:
        """The tree is beyond repair here: say so, show every stack, and leave without waiting for any thread."""
        self._log.critical("giving_up", code=code, why=cause)
        self._notifier.stopping(cause)
        sys.stderr.write(f"mosalamaagent ends with {code}: {cause}\n")
        faulthandler.dump_traceback(all_threads=True)
        sys.stderr.flush()
        os._exit(code)

    # -- beside ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self) -> Any:
        """SIGTERM and SIGINT stop, SIGHUP is refused until there is a reload, SIGUSR1 writes every stack."""
        handlers = {
            signal.SIGTERM: self._on_stop,
            signal.SIGINT: self._on_stop,
            signal.SIGHUP: self._on_reload,
        }
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        try:
            yield
        finally:
            faulthandler.unregister(signal.SIGUSR1)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_stop(self, number: int, _frame: FrameType | None) -> None:
        self._stopping = f"asked by {signal.Signals(number).name}"
        self._wake.set()

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reload_refused = True
        self._wake.set()

    def _on_supervision_event(self, event: SupervisionEvent) -> None:
        """Every event of the tree is one line of the log."""
        write = getattr(self._log, LEVEL_OF.get(event.severity, "info"))
        write(
            f"supervision.{event.kind}",
            actor=event.path,
            incarnation=event.incarnation,
            why=event.reason,
            detail=str(event.detail) or None,
            next_try_s=event.next_try_s,
        )


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        if not os.access(directory, os.W_OK | os.X_OK):
            raise PermissionError(13, "permission denied")
    except OSError as error:
        raise NotOursError(
            f"{directory}: cannot be used ({error.strerror}); make it and give it to the daemon's user"
        ) from error
