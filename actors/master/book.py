"""What a master remembers, as one interface: larger fleets put it on another database under several front ends."""

from collections.abc import Sequence
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
    """active, drained or revoked."""
    received_offset: int
    seen_ms: int
    inventory: dict[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    report_ms: int = 0


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One join token: its secret is not here, only what proves it."""

    token_id: bytes
    mac_key: bytes
    expires_ms: int
    uses_left: int
    note: str


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

    def enrol(self, row: AgentRow, token_id: bytes) -> None:
        """A new agent; one use of the token is gone."""

    def agents(self) -> Sequence[AgentRow]:
        """Every agent, by the time it enrolled."""

    def agent(self, agent_id: str) -> AgentRow | None:
        """One agent."""

    def set_agent_state(self, agent_id: str, state: str) -> None:
        """Active, drained or revoked."""

    def set_keys(self, agent_id: str, public: bytes, next_public: bytes | None) -> None:
        """The agent's keys."""

    def seen(self, agent_id: str, now_ms: int) -> None:
        """The agent was heard."""

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

    def progress(self, command_id: str, progress: dict[str, Any], now_ms: int) -> None:
        """How far a command is."""

    def receive(self, agent_id: str, messages: Sequence[tuple[int, str, dict[str, Any]]], now_ms: int) -> int:
        """Durable messages of an agent (offset, word, payload), in order; those that are here already are skipped.

        Returns the highest offset that is durable now.
        """

    def report(self, agent_id: str, values: dict[str, Any], at_ms: int, *, full: bool) -> None:
        """The latest figures."""

    def events(self, after: int, limit: int, agent_id: str | None) -> Sequence[dict[str, Any]]:
        """Events with a position above `after`."""

    def alerts(self, agent_id: str | None) -> Sequence[dict[str, Any]]:
        """The newest state of every alert."""

    def close(self) -> None:
        """Close it."""
