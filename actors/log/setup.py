"""Builds the one log of the process.

Bound names, the same everywhere: `agent`, `actor`, `engine`, `command_id`, `transfer`.
"""

import json
import logging
import os
import sys
import time
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from config.log import LogSettings

from .buffer import Line, LineBuffer
from .levels import LEVELS, Levels
from .redact import may_tell, redact
from .repeat import RepeatLimit
from .sink import RotatingSink

FILE_NAME = "mosalamaagent.log"
WARNING, ERROR = 4, 3
"""Severities of the system's journal, before a line in `<>`: sd-daemon(3)."""
TRACEBACK_MAX_CHARS = 8_000
_ITERATE = json.encoder.c_make_encoder(  # type: ignore[attr-defined]  # not in the stubs, there in every version
    None, str, json.encoder.encode_basestring, None, ":", ",", False, False, True
)
"""The standard library's encoder, built once instead of for each record."""


def encode(value: object) -> str:
    """JSON without spaces; what it does not know becomes its text."""
    return "".join(_ITERATE(value, 0))


@dataclass(frozen=True, slots=True)
class Log:
    """The parts of the log that live on: whoever holds it may change levels, reopen, and forward."""

    sink: RotatingSink | None
    levels: Levels
    buffers: tuple[LineBuffer, ...] = ()
    """One for each target of the settings, in their order."""

    def close(self) -> None:
        """Close the file."""
        if self.sink is not None:
            self.sink.close()


class _SinkLogger:
    """What structlog calls with the finished line."""

    __slots__ = ("_console", "_journal", "_sink")

    def __init__(self, sink: RotatingSink | None, *, console: bool, journal: bool) -> None:
        self._sink = sink
        self._console, self._journal = console, journal

    def msg(self, line: str) -> None:
        """Write one rendered line to every place that wants it."""
        if self._sink is not None:
            self._sink.write(line.encode())
        if self._console:
            sys.stderr.write(f"<6>{line}\n" if self._journal else f"{line}\n")

    debug = info = log = msg

    def warning(self, line: str) -> None:
        """The same; the system's journal gets it too, under its own severity."""
        self._grave(line, WARNING)

    def error(self, line: str) -> None:
        """The same."""
        self._grave(line, ERROR)

    warn, critical, exception = warning, error, error

    def _grave(self, line: str, severity: int) -> None:
        if self._sink is not None:
            self._sink.write(line.encode())
        if self._journal:
            sys.stderr.write(f"<{severity}>{line}\n")
        elif self._console:
            sys.stderr.write(f"{line}\n")


def in_journal() -> bool:
    """Whether standard error goes to the system's journal: systemd.exec(5) on JOURNAL_STREAM."""
    stream = os.environ.get("JOURNAL_STREAM", "")
    try:
        at = os.fstat(2)
    except OSError:
        return False
    return stream == f"{at.st_dev}:{at.st_ino}"


class _Foreign(logging.Handler):
    """Brings records of libraries into the same log."""

    def emit(self, record: logging.LogRecord) -> None:
        """One foreign record as one of ours; never raises."""
        try:
            log = structlog.get_logger().bind(logger=record.name)
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text = f"{text}: {record.exc_info[1]!r}"
            log.log(max(record.levelno, 10) // 10 * 10, "library", text=text)
        except Exception:  # noqa: BLE001  # a log handler that raises would crash the caller
            self.handleError(record)


class _Renderer:
    """The last processor: the line, and a copy of it for every target that wants one of its level."""

    def __init__(self, targets: Sequence[tuple[int, LineBuffer]]) -> None:
        self._targets = tuple(targets)

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        """One JSON object, the time and level first so that a person can read the raw file too."""
        level = event.get("level", "")
        line = _line(event)
        if may_tell(event, line):
            line = _line(redact(None, "", event))
        for least, buffer in self._targets:
            if LEVELS.get(level, 20) >= least:
                buffer.put(Line(level, line))
        return line


def _line(event: MutableMapping[str, Any]) -> str:
    first = {"at": event.get("at", ""), "level": event.get("level", ""), "event": event.get("event", "")}
    return encode({**first, **event})


def configure(settings: LogSettings, log_dir: Path | None) -> Log:
    """Set up the process's log once; returns what the daemon needs to reopen, change and close it."""
    sink = None
    if log_dir is not None:
        sink = RotatingSink(
            log_dir / FILE_NAME,
            max_bytes=settings.file_max_bytes,
            max_age_s=settings.file_max_age_s,
            kept=settings.files_kept,
            total_max_bytes=settings.total_max_bytes,
            kept_max_age_s=settings.kept_max_age_s,
        )
    levels = Levels(settings.level)
    buffers = tuple(LineBuffer(settings.forward_max_lines, settings.forward_max_bytes) for _ in settings.forward)
    targets = [(LEVELS[target.level], buffer) for target, buffer in zip(settings.forward, buffers, strict=True)]
    logger = _SinkLogger(sink, console=settings.console, journal=in_journal())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            levels,
            structlog.processors.add_log_level,
            RepeatLimit(settings.repeat_max_per_min, time.monotonic),
            _stamp,
            _exception_text,
            _Renderer(targets),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS["debug"]),
        logger_factory=lambda *_: logger,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Foreign()]
    root.setLevel(max(LEVELS[settings.level], logging.WARNING))
    return Log(sink, levels, buffers)


def _stamp(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """`at`, in UTC with microseconds: three times as fast as a datetime."""
    now_us = time.time_ns() // 1_000
    event["at"] = f"{_second(now_us // 1_000_000)}.{now_us % 1_000_000:06d}Z"
    return event


def _second(seconds: int, _kept: list[tuple[int, str]] = [(0, "1970-01-01T00:00:00")]) -> str:  # noqa: B006  # a memory of one
    last, text = _kept[0]
    if last != seconds:
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        _kept[0] = (seconds, text)
    return text


def _exception_text(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if event.get("exc_info"):
        event = structlog.processors.format_exc_info(None, "", event)
        event["exception"] = str(event.get("exception", ""))[-TRACEBACK_MAX_CHARS:]
    return event
