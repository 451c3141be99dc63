"""The master's side of one session. Sans-I/O: frames, times and random bytes come in."""

from dataclasses import dataclass
from typing import cast

from .bundle import FEATURE as BUNDLE
from .channel import Channel, ContentFault, Received
from .envelope import cut
from .errors import Code, ProtocolError
from .handshake import FEATURES, VERSIONS, check_clock, choose_version, open_step, read_step, seal_step, session_hash
from .keys import UNBOUND, KeyPair, Purpose, digest, key_id
from .limits import HANDSHAKE_FRAME_MAX_BYTES
from .messages.control import Auth, Challenge, Hello, Rotate
from .messages.registry import AGENT_TABLE
from .rotation import check_rotate


@dataclass(frozen=True, slots=True)
class KnownAgent:
    """What the master's book says of the agent that the hello names."""

    agent_id: str
    publics: tuple[bytes, ...]
    """Its keys: the current one and, while it rotates, the next."""
    received_offset: int
    """Highest offset of its stream that is on our disk."""
    refused: Code | None = None
    """Why it may not come in: deregistered, or two machines had its key."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """An unverified hello: only for looking the agent up."""

    hello: Hello
    frame: bytes


class MasterSession:
    """One connection: `greet`, then `answer` with what the book says, then `receive`."""

    __slots__ = (
        "_agent_has",
        "_bundles",
        "_certificates",
        "_chain",
        "_challenge",
        "_hello",
        "_key",
        "_keyset_document",
        "_keyset_version",
        "_kid",
        "_public",
        "_session_id",
        "_version",
        "agent",
        "channel",
        "skew_ms",
    )

    def __init__(
        self,
        link_key: KeyPair,
        *,
        keyset_version: int,
        keyset_document: bytes,
        certificates: frozenset[bytes] = frozenset(),
        keyset_chain: tuple[tuple[int, bytes], ...] = (),
    ) -> None:
        self._key = link_key
        self._chain = keyset_chain
        self._keyset_version, self._keyset_document = keyset_version, keyset_document
        self._certificates = certificates
        self._public = self._kid = b""
        self._hello = b""
        self._challenge = b""
        self._version = 0
        self._session_id = b""
        self._agent_has = 0
        self._bundles = False
        self.channel: Channel | None = None
        self.agent: KnownAgent | None = None
        self.skew_ms = 0

    @staticmethod
    def greet(frame: bytes) -> Greeting:
        """Who the agent says it is; parsed before its key can be known, so of the handshake's size at most."""
        if len(frame) > HANDSHAKE_FRAME_MAX_BYTES:
            raise ProtocolError(Code.FRAME)
        return Greeting(cast("Hello", read_step(cut(frame).body, Hello)), frame)

    def answer(
        self, greeting: Greeting, agent: KnownAgent | None, *, nonce: bytes, session_id: bytes, now_ms: int
    ) -> bytes:
        """The challenge for an agent whose hello verifies with a key of its own."""
        if agent is None:
            raise ProtocolError(Code.KEY_ID, "no such agent")
        if agent.refused is not None:
            raise ProtocolError(agent.refused, "this agent may not come in")
        kid = cut(greeting.frame).kid
        self._public = next((public for public in agent.publics if digest(public)[:8] == kid), b"")
        if not self._public:
            raise ProtocolError(Code.KEY_ID, "not a key of this agent")
        hello = cast("Hello", open_step(greeting.frame, Hello, self._public, Purpose.HELLO, UNBOUND))
        self._check_certificate(hello.certificate_sha256)
        self._version = choose_version(hello.versions, VERSIONS, min(VERSIONS))
        self.skew_ms = check_clock(now_ms, hello.at_ms)
        self.agent, self._hello = agent, greeting.frame
        features = tuple(feature for feature in hello.features if feature in FEATURES)
        self._bundles = BUNDLE in features
        newer = self._keyset_document if hello.keyset_version < self._keyset_version else None
        message = Challenge(
            version=self._version,
            nonce=nonce,
            at_ms=now_ms,
            session_id=session_id,
            features=features,
            received_offset=agent.received_offset,
            keyset=newer,
            chain=tuple(document for version, document in self._chain if hello.keyset_version < version)
            if newer
            else (),
        )
        self._session_id, self._agent_has = session_id, hello.received_offset
        self._challenge = seal_step(self._key, Purpose.CHALLENGE, digest(greeting.frame), message)
        return self._challenge

    def _check_certificate(self, seen: bytes) -> None:
        if self._certificates and seen and seen not in self._certificates:
            raise ProtocolError(Code.CERTIFICATE, "the agent saw another certificate: somebody is between")

    def finish(self, frame: bytes) -> Channel:
        """The channel, once the agent's auth binds both frames before it."""
        bind = digest(self._hello, self._challenge)
        auth = cast("Auth", open_step(frame, Auth, self._public, Purpose.AUTH, bind))
        if auth.version != self._version:
            raise ProtocolError(Code.VERSION, "another version than was chosen")
        self._kid = key_id(self._public)
        self.channel = Channel(
            key=self._key,
            peer=self._only_this,
            table=AGENT_TABLE,
            outbound=Purpose.TO_AGENT,
            inbound=Purpose.TO_MASTER,
            session_id=self._session_id,
            bind=session_hash(self._hello, self._challenge, frame),
            peer_has=self._agent_has,
            bundles=self._bundles,
        )
        self._hello = self._challenge = b""  # a session lives for weeks
        return self.channel

    def _only_this(self, claimed: bytes) -> bytes:
        if claimed != self._kid:
            raise ProtocolError(Code.KEY_ID)
        return self._public

    @property
    def public(self) -> bytes:
        """The key with which this agent speaks here."""
        return self._public

    def rotated(self, message: Rotate) -> bytes:
        """The agent's next public key, once both keys have signed it in this session."""
        assert self.channel is not None, "no session yet"
        return check_rotate(message, self._public, self.channel.bind)

    def receive(self, frame: bytes) -> list[Received | ContentFault]:
        """The messages of one frame of the agent."""
        assert self.channel is not None, "no session yet"
        return self.channel.open(frame)
