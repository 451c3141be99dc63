"""Takes secrets out of a log record before it is rendered.

Keys that name a secret lose their value; texts lose what looks like one wherever it stands. The shapes are
those this daemon meets: join tokens, hub tokens, signed web tokens, and credentials inside an address.
"""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

REDACTED = "(redacted)"
SECRET_KEYS = re.compile(
    r"(?i)(^|_)(token|secret|password|passwd|authorization|api_?key|private_?key|seed|cookie)($|_)"
)
SECRET_TEXT = re.compile(
    r"msj1\.[A-Za-z0-9_\-.=]+"  # join tokens
    r"|\bhf_[A-Za-z0-9]{8,}"  # hub tokens
    r"|\beyJ[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+\.[A-Za-z0-9_\-]+"  # signed web tokens
    r"|(?i:\b(?:bearer|basic)\s+)[A-Za-z0-9_\-.=+/]{8,}"  # an Authorization header's value
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"  # user:password in an address
    r"|(?i:[?&](?:token|signature|x-amz-signature|x-amz-credential|sig|key)=)[^&\s]+"  # signed addresses
)
DEPTH_MAX = 6
"""Levels of nesting that are looked through; deeper values are dropped."""


HINTS = ("msj1.", "hf_", "eyj", "bearer", "basic", "token=", "signature=", "x-amz-", "sig=", "key=")
"""What every secret text has, in lower case: a line without any of these has none. An address has :// and @."""
PLAIN = (str, int, float, bool, type(None))
_KEYS: dict[str, bool] = {}
"""Keys that were seen, and whether they name a secret: the daemon's own words, a few hundred."""
KEYS_MAX = 4_000


def may_tell(event: Mapping[str, Any], line: str) -> bool:
    """Whether a record, and the line made of it, need a closer look. Quick, and never wrong about a record without.

    One regular expression over every value of every record would take half of what logging takes.
    """
    for key, value in event.items():
        secret = _KEYS.get(key)
        if secret is None:
            if len(_KEYS) >= KEYS_MAX:
                _KEYS.clear()
            secret = _KEYS[key] = SECRET_KEYS.search(key) is not None
        if secret or not isinstance(value, PLAIN):
            return True
    lower = line.lower()
    return ("://" in lower and "@" in lower) or any(hint in lower for hint in HINTS)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: the same record, without secrets."""
    return {key: _value(key, value, 0) for key, value in event.items()}


def redact_text(text: str) -> str:
    """A text without anything that looks like a secret."""
    return SECRET_TEXT.sub(REDACTED, text)


def _value(key: str, value: object, depth: int) -> object:
    if SECRET_KEYS.search(key):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, bytes):
        return f"({len(value)} bytes)"
    if depth >= DEPTH_MAX:
        return "(too deep)"
    if isinstance(value, Mapping):
        return {str(inner): _value(str(inner), item, depth + 1) for inner, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_value(key, item, depth + 1) for item in value]
    if isinstance(value, (int, float, bool)) or value is None:
        return value
    return redact_text(str(value))
