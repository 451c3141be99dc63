"""Builds the one log of the process.

Bound names, the same everywhere: `agent`, `actor`, `engine`, `command_id`, `transfer`.
"""

import json
import logging
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import structlog

from config.log import LogSettings

from .redact import redact
from .repeat import RepeatLimit
from .sink import RotatingSink

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
FILE_NAME = "mosalamaagent.log"
TRACEBACK_MAX_CHARS = 8_000


class _SinkLogger:
    """What structlog calls with the finished line."""

    def __init__(self, sink: RotatingSink | None, *, console: bool) -> None:
        self._sink = sink
        self._console = console

    def msg(self, line: str) -> None:
        """Write one rendered line to every place that wants it."""
        if self._sink is not None:
            self._sink.write(line.encode())
        if self._console:
            sys.stderr.write(line + "\n")

    debug = info = warning = warn = error = critical = exception = log = msg


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


def configure(settings: LogSettings, log_dir: Path | None) -> RotatingSink | None:
    """Set up the process's log once; returns the sink so that the daemon can reopen and close it."""
    sink = None
    if log_dir is not None:
        sink = RotatingSink(
            log_dir / FILE_NAME,
            max_bytes=settings.file_max_bytes,
            max_age_s=settings.file_max_age_s,
            kept=settings.files_kept,
        )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            RepeatLimit(settings.repeat_max_per_min, time.monotonic),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _exception_text,
            redact,
            _json,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[settings.level]),
        logger_factory=lambda *_: _SinkLogger(sink, console=settings.console),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_Foreign()]
    root.setLevel(max(LEVELS[settings.level], logging.WARNING))
    return sink


def _exception_text(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if event.get("exc_info"):
        event = structlog.processors.format_exc_info(None, "", event)
        event["exception"] = str(event.get("exception", ""))[-TRACEBACK_MAX_CHARS:]
    return event


def _json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """One JSON object, the time and level first so that a person can read the raw file too."""
    first = {"at": event.pop("at", ""), "level": event.pop("level", ""), "event": event.pop("event", "")}
    return json.dumps({**first, **event}, separators=(",", ":"), ensure_ascii=False, default=str)
