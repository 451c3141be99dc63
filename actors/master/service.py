"""What a master does, whichever door it is asked at: enrol machines, keep commands, take what agents tell.

Every call on the book runs in one thread of its own, so that a slow disk never stops the event loop.
"""

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import structlog

from protocol.errors import Code, ProtocolError
from protocol.ids import RANDOM_BYTES, uuid7
from protocol.keys import key_id
from protocol.limits import TTL_DEFAULT_MS
from protocol.messages.base import Command
from protocol.messages.commands import EngineLogs
from protocol.messages.registry import COMMAND_TABLE, parse

from .audit import Audit
from .book import AgentRow, Book, CommandRow
from .instances import Instances
from .keys import MasterKeys, load_keys
from .lives import Lives, Steps
from .streams import Streams

P = ParamSpec("P")
R = TypeVar("R")


class Master:
    """One running master. `audience` is what its tokens are made out to."""

    def __init__(
        self,
        keys: MasterKeys,
        book: Book,
        audience: str,
        *,
        wall_ms: Callable[[], int] | None = None,
        steady_ms: Callable[[], int] | None = None,
    ) -> None:
        self._wall_ms, self._steady_ms = wall_ms or now_ms, steady_ms or since_boot_ms
        clocks = self._wall_ms(), self._steady_ms()
        self._lives, self._steps = Lives(*clocks), Steps(*clocks)
        self.keys, self.audience = keys, audience
        self._book = book
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="book")
        self._listeners: dict[str, Callable[[], None]] = {}
        self._closers: dict[str, Callable[[Code], None]] = {}
        self.audit, self.instances, self.streams = Audit(), Instances(), Streams()
        self.connected: dict[str, float] = {}
        """Agent id -> when its session began, seconds since the epoch."""
        self.heard: dict[str, int] = {}
        """Agent id -> its last heartbeat, in milliseconds; written to the book now and then, many at a time."""
        self.changed = asyncio.Condition()
        self._log = structlog.get_logger().bind(actor="master")

    async def book(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """One call on the book, in its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: call(*args, **kwargs))

    @property
    def rows(self) -> Book:
        """The book; to be used through `book` only."""
        return self._book

    async def close(self) -> None:
        """Write what is begun, and close the book."""
        await self.keep_heard()
        await self.book(self._book.close)
        self._thread.shutdown()

    async def keep_heard(self) -> None:
        """Write when agents were heard: one commit, whatever their number."""
        heard, self.heard = self.heard, {}
        if heard:
            await self.book(self._book.seen, heard)

    async def notify(self) -> None:
        """Something changed: wake whoever waits for it."""
        async with self.changed:
            self.changed.notify_all()

    # -- keys and trust --------------------------------------------------------------------------------------

    def reload_keys(self, directory: Path) -> int:
        """Take a keyset that was published into use; every connected agent gets it. Its version."""
        self.keys = load_keys(directory)
        for wake in self._listeners.values():
            wake()
        return self.keys.keyset.version

    async def key_rotated(self, agent: AgentRow, old_until_ms: int) -> None:
        """An agent came with its next key: it is the agent's key now."""
        assert agent.next_public is not None
        await self.book(self._book.promote_key, agent.agent_id, agent.next_public, old_until_ms)
        self._log.info("agent.key_rotated", agent=agent.agent_id, kid=key_id(agent.next_public).hex())

    async def quarantine(self, agent_id: str, instance: str) -> None:
        """Two machines have one key: neither may come in until an operator has looked."""
        await self.book(self._book.set_agent_state, agent_id, "quarantined")
        text = "two machines came with this agent's key; both are kept out: find the copy, then agent approve"
        await self.alarm(agent_id, "master.clone", text, fields={"instance": instance})
        await self.notify()

    async def alarm(
        self, agent_id: str, kind: str, text: str, severity: str = "critical", fields: dict[str, Any] | None = None
    ) -> None:
        """What this master saw itself is an event like those of its agents."""
        at_ms = now_ms()
        self._log.warning("alarm", kind=kind, agent=agent_id, text=text)
        event = {"event_id": uuid7(at_ms, os.urandom(RANDOM_BYTES)).hex(), "at_ms": at_ms, "kind": kind}
        event |= {"severity": severity, "subject": f"agent/{agent_id}" if agent_id else "master", "text": text}
        await self.book(self._book.add_event, agent_id, event | {"fields": fields or {}})
        await self.notify()

    # -- commands --------------------------------------------------------------------------------------------

    async def command(self, agent_id: str, word: str, payload: dict[str, Any], ttl_ms: int | None) -> CommandRow:
        """Check, sign and queue one command; it waits for an agent that is away until its time is over."""
        agent = await self.book(self._book.agent, agent_id)
        if agent is None:
            raise ProtocolError(Code.KEY_ID, "no such agent; see: mosalama-master agents")
        if agent.state == "revoked":
            raise ProtocolError(Code.REVOKED, "this agent is deregistered")
        if self.keys.keyset.expired(now_ms()):
            raise ProtocolError(Code.KEYSET_EXPIRED, "the keyset has expired: mosalama-master keyset renew")
        model = COMMAND_TABLE.get(word)
        if model is not None and "generation" in model.model_fields and "generation" not in payload:
            generation = await self.book(self._book.next_generation, agent_id, str(payload.get("name")))
            payload = payload | {"generation": generation}
        message = parse(COMMAND_TABLE, word, _tuples(payload))
        assert isinstance(message, Command)
        issued, life = self._wall_ms(), ttl_ms or TTL_DEFAULT_MS
        raw_id = uuid7(issued, os.urandom(RANDOM_BYTES))
        envelope = self.keys.sign_command(agent_id, raw_id, issued, life, message)
        row = CommandRow(raw_id.hex(), agent_id, 0, word, envelope, issued, life, "queued", None, None, issued)
        if isinstance(message, EngineLogs):
            self.streams.open(agent_id, row.command_id)
        self._lives.began(row.command_id, self._steady_ms())
        row = await self.book(self._book.add_command, row)
        self._log.info("command.queued", command_id=row.command_id, command=word, agent=agent_id)
        self.wake(agent_id)
        return row

    def too_late(self, row: CommandRow) -> bool:
        """Whether a command that still waits is over its time; setting the clock changes nothing of it."""
        return self._lives.over(row.command_id, row.issued_ms, row.ttl_ms, self._steady_ms())

    def clock_set_ms(self) -> int:
        """By how much somebody set the clock since the last look."""
        return self._steps.moved_ms(self._wall_ms(), self._steady_ms())

    def listen(self, agent_id: str, wake: Callable[[], None] | None) -> None:
        """Call `wake` when there is something for this agent."""
        if wake is None:
            self._listeners.pop(agent_id, None)
        else:
            self._listeners[agent_id] = wake

    def on_revoked(self, agent_id: str, close: Callable[[Code], None] | None) -> None:
        """Call `close` when this agent is deregistered while it is connected."""
        if close is None:
            self._closers.pop(agent_id, None)
        else:
            self._closers[agent_id] = close

    async def set_state(self, agent_id: str, state: str) -> None:
        """Deregister an agent, approve it, or take it back; a session that stands ends when it may not."""
        await self.book(self._book.set_agent_state, agent_id, state)
        closer = self._closers.get(agent_id)
        if state == "revoked" and closer is not None:
            closer(Code.REVOKED)
        if state == "active":
            self.instances.forget(agent_id)
        await self.notify()

    def wake(self, agent_id: str) -> None:
        """There is something for this agent."""
        listener = self._listeners.get(agent_id)
        if listener is not None:
            listener()

    async def show_command(self, command_id: str) -> dict[str, Any] | None:
        """One command for people; one that nobody took in time is expired."""
        row = await self.book(self._book.command, command_id)
        if row is None:
            return None
        if row.state in {"queued", "sent"} and self.too_late(row):
            await self.book(self._book.mark_command, command_id, "expired", now_ms())
            row = await self.book(self._book.command, command_id)
            assert row is not None
        shown = asdict(row)
        del shown["envelope"]
        return shown

    async def show_agents(self) -> list[dict[str, Any]]:
        """Every agent for people."""
        return [self._agent(row) for row in await self.book(self._book.agents)]

    async def show_agent(self, agent_id: str) -> dict[str, Any] | None:
        """One agent for people."""
        row = await self.book(self._book.agent, agent_id)
        return None if row is None else self._agent(row) | {"report": row.report, "report_ms": row.report_ms}

    def _agent(self, row: AgentRow) -> dict[str, Any]:
        return {
            "agent_id": row.agent_id,
            "state": row.state,
            "connected": row.agent_id in self.connected,
            "kid": key_id(row.public).hex(),
            "next_kid": key_id(row.next_public).hex() if row.next_public else None,
            "enrolled_ms": row.enrolled_ms,
            "seen_ms": self.heard.get(row.agent_id, row.seen_ms),
            "inventory": row.inventory,
        }


def since_boot_ms() -> int:
    """Milliseconds that nobody sets; they go on while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return int(time.time() * 1000)


def _tuples(value: Any) -> Any:
    """JSON has lists where the wire has arrays that never change."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value
