"""A master with a book that survives, an operator who commands, and the network between it and the agent.

The conversation is what the agent's link actor talks through instead of a socket: sessions, offsets in both
directions, acknowledgements, and everything a network does to them. Signatures are real ones.
"""

import random
from collections import Counter, deque

from actors.link.messages import Got, KeyTaken, PeerHas, SessionDown, SessionUp
from protocol.agent_session import Commanded
from protocol.command import open_command, seal_command
from protocol.messages.commands import (
    AgentDrain,
    EngineRestart,
    EngineStart,
    EngineStop,
    EngineUpdate,
    ModelPull,
    ModelRemove,
)
from protocol.messages.control import Refused
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource
from protocol.messages.reports import Alert, CommandAccepted, CommandResult, Event
from tests.fakes.trust import AGENT, key
from tests.simulation.hub import MODELS

ENGINES = tuple(f"e{number}" for number in range(1, 6))
TTL_MS = 600_000
LATENCY_S = (0.002, 0.08)
TAKES_NOTHING = frozenset(
    {"E_STALE", "E_NOT_FOUND", "E_BUSY", "E_SPEC", "E_POLICY.image", "E_POLICY.device", "expired"}
)
"""Failures of a command that change nothing on the machine."""


WANTED_GPUS = (0, 0, 1, 1, 2)
"""An update may want more or fewer than the version before it; five engines together more than there are."""
FORBIDDEN = "evil/"
"""Images that the policy of the simulated server does not allow."""


def spec_of(version, image="sim/llama", gpus=0):
    return EngineSpec(
        kind="llamacpp",
        image=f"{image}:{version}",
        gpus={"count": gpus},
        model={"uri": "hf://sim/tiny"},
        memory_bytes=1 << 28,
        restart={"attempts": 5, "within_s": 600.0, "retry_after_giving_up_s": 900.0},
        probes={"start_timeout_s": 300.0, "interval_s": 10.0},
    )


class Command:
    """One command in the master's book."""

    def __init__(self, offset, signed):
        self.offset, self.signed = offset, signed
        self.accepted = False
        self.refused = ""
        self.results = []

    def __str__(self):
        content = self.content
        about = f"{getattr(content, 'name', '')}/{getattr(content, 'generation', '')}"
        return f"{self.offset} {content.TYPE} {about}"

    @property
    def content(self):
        return self.signed.command

    @property
    def ended(self):
        return bool(self.results or self.refused)

    @property
    def changed_nothing(self):
        if self.refused:
            return True
        result = self.results[0] if self.results else None
        code = result.error.code if result is not None and result.error is not None else ""
        return result is not None and (code in TAKES_NOTHING or result.state == "expired")


class SimMaster:
    """`down` cuts every conversation; `has` is how far the agent's stream is in the book."""

    def __init__(self, schedule, seed, wall):
        self.schedule, self.wall = schedule, wall
        self.rng, self.operator = random.Random(f"{seed}/master"), random.Random(f"{seed}/commands")
        self.commands = []
        self.by_id = {}
        self.has = 0
        self.generation = Counter()
        self.events = Counter()
        self.faults = []
        self.note = self.twice = lambda text: None
        self.partitioned = False
        self.conversation = None
        self.late_s = 0.0
        self.repeat = 0

    # -- the operator ------------------------------------------------------------------------------------

    def issue(self, content):
        """Sign a command and put it into the book."""
        number = len(self.commands) + 1
        signer, raw_id = key("command"), number.to_bytes(16, "big")
        envelope = seal_command(signer, AGENT, raw_id, int(self.wall() * 1000), TTL_MS, content)
        signed = open_command(envelope, AGENT, {signer.kid: signer.public})
        command = Command(number, signed)
        self.commands.append(command)
        self.by_id[signed.command_id] = command
        self.note(f"command {command}")
        if self.conversation is not None:
            self.conversation.nudge()
        return command

    def operate(self):
        """Command something."""
        name, roll = self.operator.choice(ENGINES), self.operator.random()
        if roll < 0.05:
            self.issue(AgentDrain(enabled=False))
            return
        if self.operator.random() < 0.2:
            self._operate_models()
            return
        if 0.75 <= roll < 0.85:
            self.issue(EngineRestart(name=name, generation=self.generation[name], drain_s=1.0))
            return
        self.generation[name] += 1
        generation = self.generation[name]
        image = f"{FORBIDDEN}llama" if self.operator.random() < 0.05 else "sim/llama"
        spec = spec_of(generation, image, self.operator.choice(WANTED_GPUS))
        if roll < 0.55:
            self.issue(EngineStart(name=name, generation=generation, spec=spec))
        elif roll < 0.75:
            self.issue(EngineUpdate(name=name, generation=generation, spec=spec))
        else:
            self.issue(EngineStop(name=name, generation=generation, drain_s=2.0))

    def _operate_models(self):
        model = self.operator.choice(MODELS)
        if self.operator.random() < 0.75:
            self.issue(ModelPull(source=ModelSource(uri=f"hf://{model}")))
        else:
            self.issue(ModelRemove(model=model))

    def of_engine(self, name):
        """Every command about an engine, oldest first."""
        return [one for one in self.commands if getattr(one.content, "name", None) == name]

    def wants(self, name):
        """The last command that decides whether this engine runs: the whole of it, or None."""
        deciding = [one for one in self.of_engine(name) if not isinstance(one.content, EngineRestart)]
        kept = [one for one in deciding if not one.changed_nothing]
        return kept[-1] if kept else None

    def may_end(self, container):
        """Whether some command explains that this container is ended; a restart ends no container of its own."""
        for one in self.of_engine(container.engine):
            if not isinstance(one.content, EngineRestart):
                explains = one.content.generation > container.generation
            else:
                explains = not one.ended and one.signed.command_id != container.command_id
            if explains:
                return True
        return False

    # -- what the agent says -----------------------------------------------------------------------------

    def take(self, item):
        """One durable message of the agent; in order, each once."""
        if item.offset <= self.has:
            return
        self.has = item.offset
        message = item.message
        match message:
            case CommandAccepted(command_id=command_id):
                self.by_id[command_id].accepted = True
                self.note(f"accepted {self.by_id[command_id].offset}")
            case CommandResult(command_id=command_id):
                results = self.by_id[command_id].results
                if message not in results:  # the same one comes again when the command was sent again
                    results.append(message)
                    if len(results) > 1:
                        self.twice(f"{len(results)} ends of {self.by_id[command_id]}")
                code = message.error.code if message.error else ""
                self.note(f"{message.state} {code} {self.by_id[command_id]}")
            case Event(kind=kind, subject=subject, text=text):
                self.note(f"event {kind} {subject} {text[:80]}")
                self.events[kind] += 1
            case Alert(rule=rule, state=state, labels=labels):
                self.note(f"alert {rule} {state} {dict(labels)}")
                self.events[f"{rule} {state}"] += 1

    def refuse(self, message):
        command = self.by_id.get(message.field)
        if command is None:
            self.faults.append(f"a refusal of nothing: {message}")
        elif message.retry == "no":
            command.refused = message.code


class SimConversation:
    """One process's side: actors.link.loop.Conversation."""

    def __init__(self, master, runtime, bridge, received):
        self._master, self._runtime, self._bridge = master, runtime, bridge
        self._ack = received
        self._out = deque()
        self._waiting = runtime.parker()
        self._stopping = False
        self._session = 0
        self._dropped = ""

    def put(self, item):
        self._out.append(item)
        self._waiting.unpark()

    def acknowledge(self, offset):
        self._ack = max(self._ack, offset)

    def rotate(self, key):
        self._bridge.tell(KeyTaken(key.kid))

    def stop(self):
        self._stopping = True
        self._waiting.unpark()

    def nudge(self):
        self._waiting.unpark()

    def drop(self, why):
        self._dropped = why
        self._waiting.unpark()

    def run(self):
        master = self._master
        while not self._stopping:
            if not master.partitioned:
                master.conversation = self
                self._converse()
            delay_s = master.rng.uniform(0.5, 20.0)
            self._bridge.tell(SessionDown("waiting", "cut", delay_s, AGENT))
            self._out.clear()
            self._sleep(delay_s)

    def _sleep(self, delay_s):
        end = self._runtime.now() + delay_s
        while not self._stopping and (left := end - self._runtime.now()) > 0:
            self._waiting.park(left)
        self._runtime.check()

    def _converse(self):
        master = self._master
        self._session += 1
        self._dropped = ""
        sent = self._ack
        self._bridge.tell(SessionUp(self._session, "https://master.test", AGENT, master.has, 0, sent, master.has))
        while not self._stopping and not self._dropped and not master.partitioned:
            self._pause(master.rng.uniform(*LATENCY_S))
            sent = self._down(sent)
            self._up()
            if not self._out and sent >= len(master.commands) and not self._dropped:
                self._waiting.park(None)
            self._runtime.check()

    def _pause(self, delay_s):
        self._runtime.parker().park(delay_s)
        self._runtime.check()

    def _down(self, sent):
        """What the master has for the agent, in order; sometimes one comes twice, sometimes late."""
        master = self._master
        if sent < len(master.commands):
            late_s, master.late_s = master.late_s, 0.0
            self._sleep(late_s)
            command = master.commands[sent]
            self._give(command)
            if master.repeat:
                master.repeat -= 1
                self._give(command)
            return sent + 1
        return sent

    def _give(self, command):
        at_ms = int(self._master.wall() * 1000)
        self._bridge.tell(Got(self._session, Commanded(command.signed, command.offset), at_ms))

    def _up(self):
        """What the agent has for the master; a cut loses what is on its way."""
        master, had = self._master, self._master.has
        while self._out and not master.partitioned:
            item = self._out.popleft()
            if isinstance(item.message, Refused):
                master.refuse(item.message)
            elif item.offset is not None and item.session == self._session:
                master.take(item)
        if master.has > had:
            self._pause(master.rng.uniform(*LATENCY_S))
            if not master.partitioned:
                self._bridge.tell(PeerHas(self._session, master.has))
