"""What an answer to a request for bytes means. Pure.

Every answer is checked before its bytes count: status, range, total, encoding, kind.
"""

import email.utils
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto

from .http1 import Answer

RANGE = re.compile(r"^bytes (\d+)-(\d+)/(\d+|\*)$", re.ASCII)
RETRY_AFTER_MAX_S = 120.0
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
REFUSED = frozenset({400, 401, 403, 404, 410})
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Meaning(StrEnum):
    """Of one answer."""

    BYTES = auto()
    """The body is the bytes from `begin`, up to `end` or less far."""
    WHOLE = auto()
    """The server gives no ranges: the body is the file from its first byte."""
    BUSY = auto()
    """Later."""
    REFUSED = auto()
    """This address gives nothing: it expired, or was never good."""
    ODD = auto()
    """Another range than was asked for: the server may be better the next time."""
    WRONG = auto()
    """This address has another file, or something that is no file."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with an answer."""

    meaning: Meaning
    why: str = ""
    end: int = 0
    """Of BYTES: first byte after those that come."""
    etag: str = ""
    """A strong one, or empty."""
    wait_s: float = 0.0


def judge(answer: Answer, begin: int, end: int, size_bytes: int, now_s: float = 0.0) -> Verdict:
    """Of an answer to the request for bytes [begin, end) of a file; `now_s` is the epoch, for dates in headers."""
    status, headers = answer.status, answer.headers
    if status in BUSY:
        return Verdict(Meaning.BUSY, f"the server answered {status}", wait_s=retry_after(headers, now_s))
    if status in REFUSED:
        return Verdict(Meaning.REFUSED, f"the server answered {status}")
    if status == 416:
        return Verdict(Meaning.WRONG, f"the file ends before byte {begin} at its source ({_said(answer)})")
    if status not in {200, 206}:
        return Verdict(Meaning.ODD, f"the server answered {status}")
    if headers.get("content-encoding", "identity").lower() not in {"identity", ""}:
        return Verdict(Meaning.WRONG, "it comes compressed, and its bytes could not be proven")
    if headers.get("content-type", "").lower().startswith("text/html") and not _ranged(answer):
        return Verdict(Meaning.WRONG, "a web page came instead of the file: a proxy or a login page is in between")
    etag = headers.get("etag", "")
    strong = "" if etag.startswith("W/") else etag
    if status == 200:
        return _whole(answer, begin, end, size_bytes, strong)
    return _partial(answer, begin, end, size_bytes, strong)


def _whole(answer: Answer, begin: int, end: int, size_bytes: int, etag: str) -> Verdict:
    length = answer.headers.get("content-length")
    if length is not None and int(length) != size_bytes:
        return Verdict(Meaning.WRONG, f"the file has {length} bytes at its source, not {size_bytes}")
    if begin == 0 and end == size_bytes:
        return Verdict(Meaning.BYTES, "", end, etag)
    return Verdict(Meaning.WHOLE, "the server gives no ranges", etag=etag)


def _partial(answer: Answer, begin: int, end: int, size_bytes: int, etag: str) -> Verdict:
    found = RANGE.match(answer.headers.get("content-range", ""))
    if found is None:
        return Verdict(Meaning.ODD, f"the server answered 206 with the range {_said(answer)}")
    first, last, total = int(found[1]), int(found[2]) + 1, found[3]
    if total != "*" and int(total) != size_bytes:
        return Verdict(Meaning.WRONG, f"the file has {total} bytes at its source, not {size_bytes}")
    length = answer.headers.get("content-length")
    if first != begin or not begin < last <= end or (length is not None and int(length) != last - first):
        return Verdict(Meaning.ODD, f"bytes {begin} to {end - 1} were asked for, the server gave {_said(answer)}")
    return Verdict(Meaning.BYTES, "", last, etag)


def retry_after(headers: Mapping[str, str], now_s: float) -> float:
    """Seconds that a server wants to be left alone, at most RETRY_AFTER_MAX_S; 0 when it does not say."""
    text = headers.get("retry-after", "")
    if text.isdigit():
        return min(float(text), RETRY_AFTER_MAX_S)
    try:
        at = email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError):
        return 0.0
    return min(max(0.0, at - now_s), RETRY_AFTER_MAX_S)


def _ranged(answer: Answer) -> bool:
    return answer.status == 206 and "content-range" in answer.headers


def _said(answer: Answer) -> str:
    return repr(answer.headers.get("content-range", "none")[:80])
