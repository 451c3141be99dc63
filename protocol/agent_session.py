"""The agent's side of one session: hello, then the channel. Sans-I/O: frames, times and random bytes come in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from .bundle import FEATURE as BUNDLE
from .channel import Channel, ContentFault, Received
from .command import SignedCommand, open_command
from .envelope import cut
from .errors import Code, ProtocolError
from .handshake import (
    FEATURES,
    VERSIONS,
    check_clock,
    choose_version,
    open_step,
    read_step,
    seal_step,
    session_hash,
)
from .keys import UNBOUND, KeyPair, Purpose, digest
from .keyset import Keyset, Role, Roots, follow_roots, open_keyset
from .limits import HANDSHAKE_FRAME_MAX_BYTES, OFFSET_MAX
from .messages.control import Auth, Challenge, CommandFrame, Hello, KeysetFrame, Refused, Rotate
from .messages.registry import MASTER_TABLE
from .rotation import make_rotate


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """What the agent says of itself in its hello."""

    boot_id: str
    instance_id: str
    certificate_sha256: bytes
    received_offset: int
    minimum_version: int = 1
    sent_offset: int = 0
    """Highest offset of our own stream that was ever sent: the master cannot have more."""
    features: tuple[str, ...] = FEATURES
    """What it can besides what everybody can."""


@dataclass(frozen=True, slots=True)
class Established:
    """The session stands. `received_offset` is what the master says it has of ours; `skew_ms` is its clock less ours.

    `believed_offset` is what it can have at most: only up to there may anything be dropped.
    """

    session_id: bytes
    received_offset: int
    skew_ms: int
    features: tuple[str, ...]
    believed_offset: int = 0
    keyset_expires_ms: int = 0


@dataclass(frozen=True, slots=True)
class Send:
    """Send this frame."""

    frame: bytes


@dataclass(frozen=True, slots=True)
class NewKeyset:
    """The master brought a newer keyset that holds: keep it before going on."""

    keyset: Keyset


@dataclass(frozen=True, slots=True)
class Commanded:
    """A command that verifies; `offset` is its place in the master's stream."""

    signed: SignedCommand
    offset: int | None


AgentEvent = Established | Send | NewKeyset | Commanded | Received | ContentFault


class AgentSession:
    """One attempt and, if it stands, one session."""

    def __init__(self, agent_id: str, key: KeyPair, keyset: Keyset, roots: Roots, facts: AgentFacts) -> None:
        self._agent_id, self._key, self._keyset, self._roots, self._facts = agent_id, key, keyset, roots, facts
        self._link_keys = keyset.holders(Role.LINK)
        """Found once for each keyset: every frame asks for its key."""
        self._hello = b""
        self._nonce_at_ms = 0
        self.channel: Channel | None = None
        self.skew_ms = 0
        self._now_ms = 0

    def hello(self, nonce: bytes, now_ms: int) -> bytes:
        """The first frame."""
        facts = self._facts
        message = Hello(
            versions=VERSIONS,
            agent_id=self._agent_id,
            nonce=nonce,
            at_ms=now_ms,
            boot_id=facts.boot_id,
            instance_id=facts.instance_id,
            certificate_sha256=facts.certificate_sha256,
            keyset_version=self._keyset.version,
            features=facts.features,
            received_offset=facts.received_offset,
        )
        self._hello = seal_step(self._key, Purpose.HELLO, UNBOUND, message)
        return self._hello

    def receive(self, frame: bytes, now_ms: int) -> list[AgentEvent]:
        """What one frame of the master means; ProtocolError when it ends the session, and then nothing of it counts."""
        self._now_ms = now_ms
        if self.channel is None:
            return self._challenged(frame, now_ms)
        events: list[AgentEvent] = []
        for found in self.channel.open(frame):
            events += self._meaning(found, now_ms)
        return events

    def _meaning(self, found: Received | ContentFault, now_ms: int) -> list[AgentEvent]:
        if isinstance(found, ContentFault):
            return [found]
        if isinstance(found.message, CommandFrame):
            return [self._command(found, found.message, now_ms)]
        if isinstance(found.message, KeysetFrame):
            keyset = self._take_keyset(found.message.document, found.message.chain, now_ms + self.skew_ms)
            return [NewKeyset(keyset), found]
        return [found]

    def rotate(self, new: KeyPair) -> Rotate:
        """What brings the next key to the master; for this session only."""
        assert self.channel is not None, "no session yet"
        return make_rotate(self._key, new, self.channel.bind)

    def _challenged(self, frame: bytes, now_ms: int) -> list[AgentEvent]:
        events: list[AgentEvent] = []
        bind = digest(self._hello)
        public = self._challenger(frame)
        challenge = cast("Challenge", open_step(frame, Challenge, public, Purpose.CHALLENGE, bind))
        choose_version([challenge.version], VERSIONS, self._facts.minimum_version)
        self.skew_ms = check_clock(now_ms, challenge.at_ms)
        if challenge.keyset is not None:
            events.append(NewKeyset(self._take_keyset(challenge.keyset, challenge.chain, challenge.at_ms)))
        if challenge.received_offset > OFFSET_MAX:
            raise ProtocolError(Code.SEQUENCE, "an offset that no stream reaches")
        believed = min(challenge.received_offset, self._facts.sent_offset)
        auth = seal_step(
            self._key,
            Purpose.AUTH,
            digest(self._hello, frame),
            Auth(version=challenge.version, keyset_version=self._keyset.version),
        )
        features = tuple(feature for feature in challenge.features if feature in self._facts.features)
        self.channel = Channel(
            key=self._key,
            peer=self._link_public,
            table=MASTER_TABLE,
            outbound=Purpose.TO_MASTER,
            inbound=Purpose.TO_AGENT,
            session_id=challenge.session_id,
            bind=session_hash(self._hello, frame, auth),
            peer_has=believed,
            bundles=BUNDLE in features,
        )
        established = Established(
            challenge.session_id,
            challenge.received_offset,
            self.skew_ms,
            features,
            believed,
            self._keyset.body.expires_ms,
        )
        return [*events, Send(auth), established]

    def _link_public(self, kid: bytes) -> bytes:
        """A link key of the keyset as it is when a frame comes, at the time when it comes."""
        key = self._link_keys.get(kid)
        if key is None or not key.holds(self._now_ms + self.skew_ms):
            known = self._keyset.role_of(kid)
            raise ProtocolError(Code.ROLE if known not in {None, Role.LINK} else Code.KEY_ID)
        return key.public

    def _challenger(self, frame: bytes) -> bytes:
        """The key that may have signed this challenge: of our keyset, or of the newer one that it brings.

        An agent that was away while the link key was replaced knows no key of its master. The keyset in the
        challenge proves itself by the pinned roots, so it may be looked into before the challenge is verified; it
        is kept only afterwards.
        """
        kid = cut(frame).kid
        usable = kid in self._keyset.publics(Role.LINK, self._now_ms)
        foreign = self._keyset.role_of(kid) not in {None, Role.LINK}
        if usable or foreign or len(frame) > HANDSHAKE_FRAME_MAX_BYTES:
            return self._link_public(kid)
        unproven = cast("Challenge", read_step(cut(frame).body, Challenge))
        if unproven.keyset is None:
            return self._link_public(kid)
        roots = follow_roots(unproven.chain, self._roots, self._keyset.version)
        newer = open_keyset(unproven.keyset, roots, now_ms=self._now_ms, at_least=self._keyset.version + 1)
        public = newer.publics(Role.LINK, self._now_ms).get(kid)
        if public is None:
            raise ProtocolError(Code.KEY_ID)
        return public

    def _take_keyset(self, document: bytes, chain: tuple[bytes, ...], now_ms: int) -> Keyset:
        roots = follow_roots(chain, self._roots, self._keyset.version)
        self._keyset = open_keyset(document, roots, now_ms=now_ms, at_least=self._keyset.version)
        self._roots = self._keyset.body.roots
        self._link_keys = self._keyset.holders(Role.LINK)
        return self._keyset

    def _command(self, found: Received, message: CommandFrame, now_ms: int) -> AgentEvent:
        master_now_ms = now_ms + self.skew_ms
        publics = self._keyset.publics(Role.COMMAND, master_now_ms)
        try:
            self._check_signer(message.envelope, publics, master_now_ms)
            signed = open_command(message.envelope, self._agent_id, publics)
        except ProtocolError as error:
            if error.close_code is not None:
                raise
            return ContentFault(error, found.message_id, found.offset)
        return Commanded(signed, found.offset)

    def _check_signer(self, envelope: bytes, publics: Mapping[bytes, bytes], master_now_ms: int) -> None:
        """A command whose key has had its day is refused and the session lives: the master is who it says it is.

        A key of another role ends the session (E_ROLE, in `open_command`): whoever has the link must not command.
        """
        if self._keyset.expired(master_now_ms):
            raise ProtocolError(
                Code.KEYSET_EXPIRED, "the keyset has expired: renew it with mosalama-master keyset renew"
            )
        kid = cut(envelope).kid
        if kid not in publics and self._keyset.role_of(kid) in {None, Role.COMMAND}:
            raise ProtocolError(Code.RETIRED, "its command key is not in use any more: send the command again")


def refusal(fault: ContentFault) -> Refused:
    """What the peer is told of a message that was refused."""
    error = fault.error
    return Refused(
        code=str(error.code), retry="later" if error.retry == "later" else "no", detail=error.detail, field=error.field
    )
