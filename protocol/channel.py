"""An established session: messages in strict order under one session hash. One object for each side.

A message is `[type, session_id, seq, ack, offset, at_ms, message_id, reply_to, payload]`. `seq` counts messages in this
direction and session and must be exactly the next; `offset` is the place of a durable message in its stream, or nil;
`ack` is the highest offset of the peer's stream that is on our disk. A frame carries one message, or with the feature
`bundle` several.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .bundle import MARK_BYTES, fitting, is_bundle, join, split
from .codec import decode, encode
from .envelope import OVERHEAD_BYTES, check, cut, seal
from .errors import Code, ProtocolError
from .keys import KeyPair, Purpose
from .limits import BODY_MAX_BYTES, BUNDLE_FULL_BYTES, BUNDLE_MAX_MESSAGES, FRAME_MAX_BYTES, INTEGER_MAX
from .messages.base import Message
from .messages.registry import dump, parse
from .messages.reports import LogLines

HEADER_PARTS = 9
ID_BYTES = 16
BULK_TABLE: Mapping[str, type[Message]] = {LogLines.TYPE: LogLines}

PublicOf = Callable[[bytes], bytes]
"""Key id -> public key of a peer that may speak here now; raises ProtocolError otherwise."""


class Received(NamedTuple):
    """One verified, validated message with what its header says. A tuple, since each message makes one."""

    message: Message
    seq: int
    ack: int
    offset: int | None
    at_ms: int
    message_id: bytes
    reply_to: bytes | None
    size_bytes: int
    """What it counts in its lane (`flow.py`): the size of a frame that carries it alone, whatever carried it."""


@dataclass(frozen=True, slots=True)
class ContentFault:
    """A message of a known peer that was refused; the session lives and the peer is told."""

    error: ProtocolError
    message_id: bytes | None
    offset: int | None


class Channel:
    """Seals what we say, opens what the peer says."""

    __slots__ = (
        "_bundles",
        "_inbound",
        "_jump",
        "_key",
        "_outbound",
        "_peer",
        "_sent_offset",
        "_table",
        "_waiting",
        "_waiting_bytes",
        "bind",
        "peer_ack",
        "received",
        "sent",
        "session_id",
    )

    def __init__(
        self,
        *,
        key: KeyPair,
        peer: PublicOf,
        table: Mapping[str, type[Message]],
        outbound: Purpose,
        inbound: Purpose,
        session_id: bytes,
        bind: bytes,
        peer_has: int = 0,
        bundles: bool = False,
    ) -> None:
        self._key, self._peer, self._table = key, peer, table
        self._outbound, self._inbound = outbound, inbound
        self.session_id, self.bind = session_id, bind
        self.sent = 0
        """Messages that we put in this session."""
        self.received = 0
        """Messages of the peer that were in order."""
        self.peer_ack = 0
        """Highest offset of our stream that the peer has on its disk."""
        self._sent_offset = peer_has
        """Highest offset that the peer can have: what it had at the handshake, then what was sent."""
        self._jump = False
        self._bundles = bundles
        """Whether both sides take several messages in a frame."""
        self._waiting: list[bytes] = []
        """Messages that have their number and leave with the next frames. A list: an empty deque takes 600 bytes."""
        self._waiting_bytes = 0

    def bulk(self) -> "Channel":
        """The same session on a second socket, from the agent to the master: purpose and sequence of its own."""
        return Channel(
            key=self._key,
            peer=self._peer,
            table=BULK_TABLE,
            outbound=Purpose.BULK,
            inbound=Purpose.BULK,
            session_id=self.session_id,
            bind=self.bind,
            bundles=self._bundles,
        )

    def goes_on(self) -> None:
        """The peer's messages come on another socket now: some may have been lost with the old, none comes twice."""
        self._jump = True

    def lose(self) -> None:
        """What waits was lost with its socket; its numbers are used up."""
        self._waiting.clear()
        self._waiting_bytes = 0

    # -- what we say -----------------------------------------------------------------------------------------

    def put(
        self,
        message: Message,
        *,
        at_ms: int,
        message_id: bytes,
        ack: int,
        offset: int | None = None,
        reply_to: bytes | None = None,
    ) -> int:
        """Our next message, to leave with the next frames; the bytes that it counts in its lane."""
        head = [message.TYPE, self.session_id, self.sent + 1, ack, offset, at_ms, message_id, reply_to]
        body = encode([*head, dump(message)])
        if len(body) > BODY_MAX_BYTES:
            raise ProtocolError(Code.TOO_LARGE, f"a body has at most {BODY_MAX_BYTES} bytes")
        self._waiting.append(body)
        self._waiting_bytes += MARK_BYTES + len(body)
        self.sent += 1
        self._sent_offset = max(self._sent_offset, offset or 0)
        return OVERHEAD_BYTES + len(body)

    @property
    def room(self) -> bool:
        """Whether one message more may leave together with those that wait."""
        if not self._waiting:
            return True
        few = self._bundles and len(self._waiting) < BUNDLE_MAX_MESSAGES
        return few and self._waiting_bytes < BUNDLE_FULL_BYTES

    def frame(self) -> bytes | None:
        """The next frame: as many of the messages that wait as it takes; None when none waits.

        Frames are in order by the moment in which they are made, so write this one before anybody may ask for another.
        """
        waiting = self._waiting
        if not waiting:
            return None
        count = fitting(waiting) if self._bundles else 1
        body = waiting[0] if count == 1 else join(waiting[:count])
        self._waiting_bytes -= MARK_BYTES + len(body) if count == 1 else len(body)
        del waiting[:count]
        return seal(self._key, self._outbound, self.bind, body)

    # -- what the peer says ----------------------------------------------------------------------------------

    def open(self, frame: bytes) -> list[Received | ContentFault]:
        """The peer's next messages, in order.

        A fault of form, key or order raises and ends the session, and then nothing of its frame is taken: what is
        durable comes again with the next session.
        """
        if len(frame) > FRAME_MAX_BYTES:
            raise ProtocolError(Code.FRAME)
        parts = cut(frame)
        body = check(parts, self._peer(parts.kid), self._inbound, self.bind)
        if self._bundles and is_bundle(body):
            return [self._read(message) for message in split(body)]
        return [self._read(body)]

    def _read(self, body: bytes) -> Received | ContentFault:
        try:
            head = decode(body)
            _check_form(head)
        except ProtocolError as error:
            self.received += 1  # the peer is known and counted this one too
            return ContentFault(error, None, None)
        word, session_id, seq, ack, offset, at_ms, message_id, reply_to, payload = head
        self._check_order(session_id, seq, ack)
        try:
            message = parse(self._table, word, payload)
        except ProtocolError as error:
            return ContentFault(error, message_id, offset)
        return Received(message, seq, ack, offset, at_ms, message_id, reply_to, OVERHEAD_BYTES + len(body))

    def _check_order(self, session_id: bytes, seq: int, ack: int) -> None:
        if session_id != self.session_id:
            raise ProtocolError(Code.SESSION)
        if seq != self.received + 1 and not (self._jump and seq > self.received):
            raise ProtocolError(Code.SEQUENCE, "not the next message")
        self.received, self._jump = seq, False
        # An acknowledgement beyond what was sent would drop from our disk what the peer never saw.
        self.peer_ack = max(self.peer_ack, min(ack, self._sent_offset))


def _check_form(head: object) -> None:
    if not isinstance(head, tuple) or len(head) != HEADER_PARTS:
        raise ProtocolError(Code.DECODE, "a body has nine parts")
    word, session_id, seq, ack, offset, at_ms, message_id, reply_to, _ = head
    good = (
        type(word) is str
        and type(session_id) is bytes
        and type(seq) is int
        and 0 <= seq <= INTEGER_MAX
        and type(ack) is int
        and 0 <= ack <= INTEGER_MAX
        and type(at_ms) is int
        and 0 <= at_ms <= INTEGER_MAX
        and (offset is None or (type(offset) is int and 0 <= offset <= INTEGER_MAX))
        and type(message_id) is bytes
        and len(message_id) == ID_BYTES
        and (reply_to is None or (type(reply_to) is bytes and len(reply_to) == ID_BYTES))
    )
    if not good:
        raise ProtocolError(Code.SCHEMA, "a part of the head")
