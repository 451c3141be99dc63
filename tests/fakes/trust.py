"""Keys, keyset and two sessions that know each other: everything a test of the protocol begins with."""

import hashlib
from dataclasses import dataclass

from protocol.agent_session import AgentFacts, AgentSession
from protocol.handshake import FEATURES
from protocol.keys import KeyPair
from protocol.keyset import Keyset, KeysetBody, KeysetKey, Roots, open_keyset, sign_keyset
from protocol.master_session import KnownAgent, MasterSession
from tests.fakes.framed import framed

NOW_MS = 1_800_000_000_000
FAR_MS = NOW_MS + 10**12
AGENT = "01" * 16


def key(name: str) -> KeyPair:
    """The same key for the same name, always."""
    return KeyPair.from_seed(hashlib.sha256(name.encode()).digest())


ROOTS = Roots(threshold=1, publics=(key("root").public,))


def body(version: int = 1, **changes) -> KeysetBody:
    keys = tuple(
        KeysetKey(public=key(role).public, role=role, not_before_ms=0, not_after_ms=FAR_MS)
        for role in ("link", "command", "token")
    )
    return KeysetBody(**({"version": version, "expires_ms": FAR_MS, "keys": keys, "roots": ROOTS} | changes))


def document(version: int = 1, **changes) -> bytes:
    return sign_keyset(body(version, **changes), [key("root")])


def keyset(version: int = 1, **changes) -> Keyset:
    return open_keyset(document(version, **changes), ROOTS, now_ms=NOW_MS)


@dataclass
class Pair:
    """An agent's and a master's session."""

    agent: AgentSession
    master: MasterSession
    hello: bytes = b""
    challenge: bytes = b""
    auth: bytes = b""

    def shake(self, *, agent_now: int = NOW_MS, master_now: int = NOW_MS, session: bytes = b"s" * 16) -> "Pair":
        self.hello = self.agent.hello(b"a" * 32, agent_now)
        known = KnownAgent(AGENT, (key("agent").public,), 0)
        greeting = self.master.greet(self.hello)
        self.challenge = self.master.answer(greeting, known, nonce=b"m" * 32, session_id=session, now_ms=master_now)
        send = next(event for event in self.agent.receive(self.challenge, agent_now) if hasattr(event, "frame"))
        self.auth = send.frame
        self.master.finish(self.auth)
        return self

    def from_master(self, message, **changes) -> bytes:
        return framed(self.master, message, **({"at_ms": NOW_MS, "message_id": b"i" * 16, "ack": 0} | changes))

    def from_agent(self, message, **changes) -> bytes:
        return framed(self.agent, message, **({"at_ms": NOW_MS, "message_id": b"i" * 16, "ack": 0} | changes))

    def together(self, side: str, *said) -> bytes:
        """One frame of a side ("agent" or "master") with all these messages, or (message, changes)."""
        channel = getattr(self, side).channel
        for one in said:
            message, changes = one if isinstance(one, tuple) else (one, {})
            channel.put(message, **({"at_ms": NOW_MS, "message_id": b"i" * 16, "ack": 0} | changes))
        frame = channel.frame()
        assert channel.frame() is None, "they need more than one frame"
        return frame


def pair(
    *,
    agent_keyset: Keyset | None = None,
    master_version: int = 1,
    link: str = "link",
    minimum: int = 1,
    sent: int = 0,
    certificate: bytes = b"",
    certificates: frozenset[bytes] = frozenset(),
    features: tuple[str, ...] = FEATURES,
) -> Pair:
    facts = AgentFacts("boot", "instance", certificate, 0, minimum, sent, features)
    agent = AgentSession(AGENT, key("agent"), agent_keyset or keyset(), ROOTS, facts)
    master = MasterSession(
        key(link),
        keyset_version=master_version,
        keyset_document=document(master_version),
        certificates=certificates,
    )
    return Pair(agent, master)
