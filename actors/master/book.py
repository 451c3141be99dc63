"""What a master remembers, as one interface: larger fleets put it on another database under several front ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One enrolled machine. Times are milliseconds since the epoch."""

    agent_id: str
    public: bytes
    next_public: bytes | None
    enrolled_ms: int
    state: str
    """active, pending (an operator has to approve it), quarantined (two machines had its key) or revoked."""
    received_offset: int
    seen_ms: int
    inventory: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    report_ms: int = 0
    old_public: bytes | None = None
    """The key before the last rotation; it opens sessions until `old_until_ms`."""
    old_until_ms: int = 0

    def publics(self, now_ms: int) -> tuple[bytes, ...]:
        """Every key that opens a session now: the current one, the next, and for a while the one before."""
        old = self.old_public if now_ms < self.old_until_ms else None
        return tuple(public for public in (self.public, self.next_public, old) if public)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One join token: its secret is not here, only what proves it."""

    token_id: bytes
    mac_key: bytes
    expires_ms: int
    uses_left: int
    note: str
    agent_id: str = ""
    """Of a recovery token: the agent whose key it replaces."""
    approve: bool = False
    """Whether an operator has to approve who enrols with it."""
    hosts: str = ""
    """Pattern of the host's name, with * for anything; empty: every host."""
    network: str = ""
    """The network that the request must come from, as ADDRESS/BITS; empty: everywhere."""


@dataclass(frozen=True, slots=True)
class CommandRow:
    """One command to one agent; `offset` is its place in the agent's stream."""

    command_id: str
    agent_id: str
    offset: int
    word: str
    envelope: bytes
    issued_ms: int
    ttl_ms: int
    state: str
    """queued, sent, accepted, running, done, failed, expired, cancelled or refused."""
    progress: dict[str, Any] | None
    result: dict[str, Any] | None
    updated_ms: int


class Book(Protocol):
    """Every method is one transaction; it returned, so it is durable."""

    def add_token(self, row: TokenRow) -> None:
        """A new join token."""

    def token(self, token_id: bytes) -> TokenRow | None:
        """A join token."""

    def enrolled_with(self, token_id: bytes) -> Sequence[tuple[bytes, str]]:
        """Public keys and agent ids that used a token."""

    def enrol(self, row: AgentRow, token_id: bytes) -> bool:
        """A new agent; one use of the token is gone. False when no use was left."""

    def recover(self, agent_id: str, public: bytes, token_id: bytes) -> bool:
        """A new key for an agent that lost its own; one use of the token is gone. False when no use was left."""

    def agents(self) -> Sequence[AgentRow]:
        """Every agent, by the time it enrolled."""

    def agent(self, agent_id: str) -> AgentRow | None:
        """One agent."""

    def set_agent_state(self, agent_id: str, state: str) -> None:
        """One of the states of AgentRow."""

    def set_next_key(self, agent_id: str, next_public: bytes) -> None:
        """The key that the agent will use next; the one it has stays good."""

    def promote_key(self, agent_id: str, public: bytes, old_until_ms: int) -> None:
        """The next key was used: it is the agent's key now, the one before is good until then."""

    def seen(self, times: Mapping[str, int]) -> None:
        """Agent id -> when it was heard last, in milliseconds since the epoch."""

    def next_generation(self, agent_id: str, engine: str) -> int:
        """A number greater than every one before for this engine."""

    def add_command(self, row: CommandRow) -> CommandRow:
        """Queue a command; the row with its offset."""

    def command(self, command_id: str) -> CommandRow | None:
        """One command."""

    def commands_after(self, agent_id: str, offset: int) -> Sequence[CommandRow]:
        """Commands of the agent with a higher offset that it does not have yet, in order."""

    def mark_command(self, command_id: str, state: str, now_ms: int) -> None:
        """A state that came without a durable message."""

    def refuse_command(self, agent_id: str, command_id: str, error: dict[str, Any], now_ms: int) -> bool:
        """The agent, or this master on its behalf, will not take the command; False when it is not a command of this
        agent or has ended.
        """

    def progress(self, agent_id: str, command_id: str, progress: dict[str, Any], now_ms: int) -> None:
        """How far a command of this agent is."""

    def receive(self, agent_id: str, messages: Sequence[tuple[int, str, dict[str, Any]]], now_ms: int) -> int:
        """Durable messages of an agent (offset, word, payload), in order; those that are here already are skipped.

        Returns the highest offset that is durable now.
        """

    def report(self, agent_id: str, values: dict[str, Any], at_ms: int, *, full: bool) -> None:
        """The latest figures."""

    def add_event(self, agent_id: str, event: dict[str, Any]) -> None:
        """Something that this master saw itself, of an agent or of none (an empty id)."""

    def events(self, after: int, limit: int, agent_id: str | None) -> Sequence[dict[str, Any]]:
        """Events with a position above `after`."""

    def alerts(self, agent_id: str | None) -> Sequence[dict[str, Any]]:
        """The newest state of every alert."""

    def close(self) -> None:
        """Close it."""
