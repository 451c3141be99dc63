"""What can be wrong with what a peer says.

ProtocolError
├── fatal codes      the session ends with `close_code` (form, signature, order, handshake, identity)
└── content codes    the message is refused with an `error`, the session lives

No error repeats received input: texts are ours, fields are names.
"""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """Why something was refused; the same word on the wire, in logs and in counters."""

    FRAME = "E_FRAME"
    SIGNATURE = "E_SIG"
    KEY_ID = "E_KID"
    ROLE = "E_ROLE"
    SEQUENCE = "E_SEQ"
    SESSION = "E_SID"
    VERSION = "E_VERSION"
    CLOCK = "E_CLOCK"
    HANDSHAKE_TIMEOUT = "E_HS_TIMEOUT"
    TOKEN = "E_TOKEN"  # noqa: S105  # the word of a code, not a secret
    TOKEN_USED = "E_TOKEN_USED"  # noqa: S105  # as above
    REVOKED = "E_REVOKED"
    CLONE = "E_CLONE"
    DECODE = "E_DECODE"
    SCHEMA = "E_SCHEMA"
    UNKNOWN_FIELD = "E_UNKNOWN_FIELD"
    UNKNOWN_OP = "E_UNKNOWN_OP"
    UNSUPPORTED = "E_UNSUPPORTED"
    EXPIRED = "E_EXPIRED"
    RETIRED = "E_RETIRED"
    KEYSET_EXPIRED = "E_KEYSET_EXPIRED"
    PENDING = "E_PENDING"
    CONFIRM = "E_CONFIRM"
    STALE = "E_STALE"
    DUPLICATE_CONFLICT = "E_DUP_CONFLICT"
    POLICY = "E_POLICY"
    BUSY = "E_BUSY"
    RATE = "E_RATE"
    TOO_LARGE = "E_TOO_LARGE"
    KEYSET = "E_KEYSET"
    CERTIFICATE = "E_CERT"
    INTERNAL = "E_INTERNAL"


class Retry(StrEnum):
    """What the peer should do next."""

    NO = "no"
    LATER = "later"


CLOSES: dict[Code, int] = {
    Code.FRAME: 4400,
    Code.SIGNATURE: 4401,
    Code.KEY_ID: 4401,
    Code.ROLE: 4401,
    Code.TOKEN: 4403,
    Code.TOKEN_USED: 4403,
    Code.REVOKED: 4403,
    Code.CLONE: 4403,
    Code.VERSION: 4406,
    Code.CLOCK: 4408,
    Code.HANDSHAKE_TIMEOUT: 4408,
    Code.SEQUENCE: 4409,
    Code.SESSION: 4409,
    Code.KEYSET: 4401,
    Code.CERTIFICATE: 4401,
}
"""WebSocket close codes of the faults that end a session."""

CLOSE_REPEATED_FAULTS = 4422
"""Too many content faults in a minute."""

RETRIES: dict[Code, Retry] = {
    Code.BUSY: Retry.LATER,
    Code.RATE: Retry.LATER,
    Code.CLOCK: Retry.LATER,
    Code.HANDSHAKE_TIMEOUT: Retry.LATER,
    Code.INTERNAL: Retry.LATER,
    Code.PENDING: Retry.LATER,
}
"""Codes after which trying again may help; for all others it does not."""


@dataclass
class ProtocolError(Exception):
    """One broken rule. `detail` is our own text (at most 200 characters), `field` a name of ours."""

    code: Code
    detail: str = ""
    field: str | None = None

    @property
    def close_code(self) -> int | None:
        """The code that the connection is closed with; None when the session lives."""
        return CLOSES.get(self.code)

    @property
    def retry(self) -> Retry:
        """Whether trying again may help."""
        return RETRIES.get(self.code, Retry.NO)

    def __str__(self) -> str:
        """The code and our words."""
        where = f" ({self.field})" if self.field else ""
        return f"{self.code}{where}: {self.detail}" if self.detail else f"{self.code}{where}"
