"""Lines of the log in the forms of those who take them. Pure, no I/O.

Syslog: RFC 5424 in the octet-counted frames of RFC 6587. OTLP: the JSON form of OpenTelemetry's logs, protocol 1.x.
Loki: its push API with structured metadata.
"""

import calendar
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from actors.log.buffer import Line

FACILITY_DAEMON = 3
SYSLOG_SEVERITY: Mapping[str, int] = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
OTLP_SEVERITY: Mapping[str, int] = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
MESSAGE_ID_MAX = 32
FRAME_MAX_BYTES = 8_192
"""Longer messages are cut: RFC 5425 asks receivers for that much."""
UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
BOUND = ("actor", "engine", "command_id", "transfer")
"""Names that stand beside the text, so that a reader may select by them."""
NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Source:
    """Who speaks."""

    host: str
    process: int
    version: str
    app: str = "mosalamaagent"


Encoder = Callable[[Source, Sequence[Line]], bytes]
"""Lines in one body."""


def syslog(source: Source, lines: Sequence[Line]) -> bytes:
    """Frames, one behind the other."""
    return b"".join(_frame(source, line) for line in lines)


def _frame(source: Source, line: Line) -> bytes:
    record = _record(line)
    priority = FACILITY_DAEMON * 8 + SYSLOG_SEVERITY.get(line.level, 6)
    name = UNPRINTABLE.sub("_", str(record.get("event") or "-"))[:MESSAGE_ID_MAX] or "-"
    pairs = "".join(f' {key}="{_quoted(str(record[key]))}"' for key in BOUND if record.get(key))
    extra = f"[mosalama@32473{pairs}]" if pairs else "-"
    host = UNPRINTABLE.sub("_", source.host)[:255] or "-"
    head = f"<{priority}>1 {record.get('at') or '-'} {host} {source.app} {source.process} {name} {extra} "
    message = (head.encode() + b"\xef\xbb\xbf" + line.text.encode())[:FRAME_MAX_BYTES]
    whole = message.decode(errors="ignore").encode()  # a last character that was cut in half is left out
    return b"%d %s" % (len(whole), whole)


def _quoted(text: str) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", text)


def otlp(source: Source, lines: Sequence[Line]) -> bytes:
    """One ExportLogsServiceRequest."""
    resource = {"service.name": source.app, "service.version": source.version, "host.name": source.host}
    records = [_otlp_record(line) for line in lines]
    scope = {"scope": {"name": source.app, "version": source.version}, "logRecords": records}
    return _json({"resourceLogs": [{"resource": {"attributes": _attributes(resource)}, "scopeLogs": [scope]}]})


def _otlp_record(line: Line) -> dict[str, Any]:
    record = _record(line)
    rest = {key: value for key, value in record.items() if key not in {"at", "level", "event"}}
    return {
        "timeUnixNano": str(_nanoseconds(record)),
        "severityNumber": OTLP_SEVERITY.get(line.level, 9),
        "severityText": line.level.upper(),
        "body": {"stringValue": str(record.get("event", ""))},
        "attributes": _attributes(rest),
    }


def _attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": value if isinstance(value, str) else json.dumps(value)}


def loki(source: Source, lines: Sequence[Line]) -> bytes:
    """One push: a stream for each level, since few labels keep Loki's index small."""
    streams: dict[str, list[list[Any]]] = {}
    for line in lines:
        record = _record(line)
        beside = {key: str(record[key]) for key in BOUND if record.get(key)}
        streams.setdefault(line.level, []).append([str(_nanoseconds(record)), line.text, beside])
    labels = {"service": source.app, "node": source.host}
    found = [{"stream": labels | {"level": level}, "values": rows} for level, rows in streams.items()]
    return _json({"streams": found})


def _record(line: Line) -> dict[str, Any]:
    try:
        found = json.loads(line.text)
    except ValueError:
        return {"event": line.text}
    return found if isinstance(found, dict) else {"event": line.text}


def _nanoseconds(record: Mapping[str, Any]) -> int:
    """Of `at`, as the log writes it: 2026-01-02T03:04:05.678901Z."""
    second, _, fraction = str(record.get("at", "")).removesuffix("Z").partition(".")
    try:
        whole = calendar.timegm(time.strptime(second, "%Y-%m-%dT%H:%M:%S"))
        return whole * NANO + int(fraction.ljust(9, "0")[:9] or 0)
    except ValueError:
        return 0


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


ENCODERS: Mapping[str, Encoder] = {"syslog": syslog, "otlp": otlp, "loki": loki}
