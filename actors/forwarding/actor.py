"""Forwards the log: one thread for each target takes from its buffer, encodes and sends. Nobody ever waits for it.

A target that is away is tried again, further and further apart; meanwhile its buffer gives up its oldest lines. What a
target refuses for good is given up and said.
"""

import random
from collections.abc import Callable, Sequence

import structlog

from actors.log.buffer import Line, LineBuffer
from actors.supervision.actor import Actor
from actors.supervision.flag import Flag
from actors.supervision.messages import TaskDone, TaskFailed
from config.log import ForwardSettings

from .encoders import ENCODERS, Source
from .senders import ForwardError, Sender, sender

BATCH_LINES = 500
BATCH_S = 2.0
RETRY_MIN_S, RETRY_MAX_S = 1.0, 60.0
SAID_EVERY = 10
"""Failed tries in a row before the next word about them: the log must not talk about itself."""
LAST_TRY_LINES = 2_000
"""Of what waits when the daemon stops."""


class ForwardActor(Actor):
    """See the module. `buffers` belong to the targets of the settings, in their order."""

    def __init__(
        self,
        *,
        targets: Sequence[ForwardSettings],
        buffers: Sequence[LineBuffer],
        source: Source,
        open_sender: Callable[[ForwardSettings], Sender] = sender,
    ) -> None:
        self._targets, self._source, self._open = tuple(zip(targets, buffers, strict=True)), source, open_sender

    def on_start(self) -> object:
        """A thread for each target."""
        for number, (target, buffer) in enumerate(self._targets):
            flag = self.context.flag()
            made = Forwarder(target, buffer, self._source, self._open(target), self.context.rng)
            self.context.task(f"{target.kind} {number}", made.run, flag, cancel=flag.set)
        return None

    def on_message(self, message: object) -> object:
        """A thread that ends is a fault."""
        match message:
            case TaskDone() | TaskFailed():
                raise RuntimeError(f"a target's thread ended: {message}")
            case _:
                self.context.unhandled(message)
        return None


class Forwarder:
    """One target's work, in its thread."""

    def __init__(
        self, target: ForwardSettings, buffer: LineBuffer, source: Source, out: Sender, rng: random.Random
    ) -> None:
        self._target, self._buffer, self._source, self._out, self._rng = target, buffer, source, out, rng
        self._encode = ENCODERS[target.kind]
        self._failed = 0
        self._log = structlog.get_logger().bind(actor="forwarding", target=target.kind)

    def run(self, flag: Flag) -> None:
        """Until the flag is set; then once more, without waiting."""
        try:
            while not flag.is_set():
                sent = self.once(BATCH_LINES)
                if sent < BATCH_LINES:
                    flag.wait(BATCH_S if not self._failed else self._pause_s())
            if not self._failed:
                self.once(LAST_TRY_LINES)
        finally:
            self._out.close()

    def _pause_s(self) -> float:
        most = min(RETRY_MAX_S, RETRY_MIN_S * 2.0 ** min(self._failed - 1, 10))
        return most * self._rng.uniform(0.5, 1.0)

    def once(self, most: int) -> int:
        """Send what waits; how many lines were taken off the buffer for good."""
        lines = self._buffer.take(most)
        if not lines:
            return 0
        try:
            self._out.send(self._encode(self._source, lines))
        except ForwardError as error:
            return self._not_sent(error, lines)
        if self._failed:
            self._log.info("forward.back", failed=self._failed, dropped=self._buffer.dropped)
        self._failed = 0
        return len(lines)

    def _not_sent(self, error: ForwardError, lines: list[Line]) -> int:
        if not error.again:
            self._log.warning("forward.refused", lines=len(lines), why=str(error))
            return len(lines)
        self._buffer.give_back(lines)
        if self._failed % SAID_EVERY == 0:
            self._log.warning("forward.failed", address=self._target.address, why=str(error), failed=self._failed)
        self._failed += 1
        return 0
