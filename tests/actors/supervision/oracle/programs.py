"""Generated supervisor programs, and what the decision core does with them.

A program is what both sides can run: static children with restart types, significance and starts that fail, and
steps that end, stop, start, restart and delete them. The trace is the list of words that `otp.erl` explains.
"""

import random
from collections import deque
from dataclasses import dataclass, replace

from actors.supervision import messages
from actors.supervision.core import Core, Mode
from actors.supervision.effects import Arm, Reply, SendStop, Spawn
from actors.supervision.signals import Boot, Down, Due, Kind, Ready, Request, Shutdown, TimerFired
from actors.supervision.spec import AutoShutdown, Backoff, ChildSpec, Restart, Strategy, SupervisorSpec

PERIOD_S = 1_000_000.0
IDS = "abcdef"
NO_DELAY = Backoff(min_s=1e-6, max_s=1e-6, jitter=0.0)
EXITS = {"normal": Kind.NORMAL, "shutdown": Kind.SHUTDOWN, "crash": Kind.CRASH}
AUTO = {"never": AutoShutdown.NEVER, "any_significant": AutoShutdown.ANY_SIGNIFICANT,
        "all_significant": AutoShutdown.ALL_SIGNIFICANT}  # fmt: skip


@dataclass(frozen=True)
class ProgramChild:
    """One child: which of its starts fail, counted from 1."""

    id: str
    restart: str
    significant: bool
    failing: tuple[int, ...]

    def term(self) -> str:
        """As an Erlang term."""
        return f"{{{self.id},{self.restart},{str(self.significant).lower()},{list(self.failing)}}}"


@dataclass(frozen=True)
class Program:
    """One supervisor and what happens to it."""

    strategy: str
    intensity: int
    auto: str
    children: tuple[ProgramChild, ...]
    steps: tuple[tuple[object, ...], ...]

    def term(self) -> str:
        """As an Erlang term with its full stop."""
        children = ",".join(child.term() for child in self.children)
        steps = ",".join(_step_term(step) for step in self.steps)
        return f"{{{self.strategy},{self.intensity},{self.auto},[{children}],[{steps}]}}.\n"

    def smaller(self) -> "list[Program]":
        """This program with one part less, for finding the smallest that still differs."""
        fewer = [self.steps[:n] + self.steps[n + 1 :] for n in range(len(self.steps))]
        found = [replace(self, steps=steps) for steps in fewer]
        found += [replace(self, children=self.children[:n] + self.children[n + 1 :]) for n in range(len(self.children))]
        return found


def _step_term(step: tuple[object, ...]) -> str:
    if step == ("shutdown",):
        return "shutdown"
    return "{" + ",".join(part.term() if isinstance(part, ProgramChild) else str(part) for part in step) + "}"


def generate(rng: random.Random) -> Program:
    """A random program; small, since small ones differ as well as large ones."""
    auto = rng.choice(["never", "never", "any_significant", "all_significant"])
    children = tuple(_child(rng, name, auto) for name in IDS[: rng.randint(0, 4)])
    steps = tuple(_step(rng, auto) for _ in range(rng.randint(1, 8)))
    strategy = rng.choice(["one_for_one", "one_for_all", "rest_for_one"])
    return Program(strategy, rng.choice([0, 1, 2, 3, 5, 20]), auto, children, steps)


def _child(rng: random.Random, name: str, auto: str) -> ProgramChild:
    restart = rng.choice(["permanent", "transient", "temporary"])
    significant = auto != "never" and restart != "permanent" and rng.random() < 0.5
    failing = tuple(n for n in range(1, 7) if rng.random() < (0.06 if n == 1 else 0.15))
    return ProgramChild(name, restart, significant, failing)


def _step(rng: random.Random, auto: str) -> tuple[object, ...]:
    name = rng.choice(IDS)
    kind = rng.choices(["exit", "stop", "restart", "delete", "start", "shutdown"], [60, 12, 12, 6, 9, 1])[0]
    if kind == "exit":
        return ("exit", name, rng.choice(["normal", "shutdown", "crash", "crash"]))
    if kind == "start":
        return ("start", _child(rng, name, auto))
    return ("shutdown",) if kind == "shutdown" else (kind, name)


class World:
    """Does at once what the core decides, and writes down the words."""

    def __init__(self, program: Program) -> None:
        children = tuple(_spec(child) for child in program.children)
        flags = SupervisorSpec(Strategy(program.strategy), children, program.intensity, PERIOD_S, AUTO[program.auto])
        self.core = Core(flags, random.Random(0))
        self.words: list[str] = []
        self._failing = {child.id: child.failing for child in program.children}
        self._starts: dict[str, int] = {}
        self._events: deque[object] = deque()

    def run(self, steps: tuple[tuple[object, ...], ...]) -> list[str]:
        """Boot, take every step while the supervisor lives, and say how it ended."""
        self._feed(Boot())
        self.words.append("/")
        for step in steps:
            if self.core.mode is Mode.ENDED:
                break
            self._step(*step)
            self.words.append("/")
        if self.core.mode is Mode.ENDED:
            return [*self.words, "down"]
        running = [name for name, child in self.core.children.items() if child.alive]
        return [*self.words, "alive", *running]

    def _step(self, kind: str, *rest: object) -> None:
        if kind == "exit":
            self._exit(str(rest[0]), str(rest[1]))
        elif kind == "shutdown":
            self._feed(Shutdown("asked"))
        elif kind == "start":
            (child,) = rest
            assert isinstance(child, ProgramChild)
            if child.id not in self.core.children:
                self._failing[child.id] = child.failing
            self._ask(messages.StartChild(_spec(child)))
        else:
            make = {
                "stop": messages.StopChild,
                "restart": messages.RestartChild,
                "delete": messages.DeleteChild,
            }
            self._ask(make[kind](str(rest[0])))

    def _exit(self, name: str, reason: str) -> None:
        child = self.core.children.get(name)
        if child is None or not child.alive:
            self.words.append("=no")
            return
        self.words.append(f"!{name}")
        self._feed(Down(name, child.incarnation, EXITS[reason], reason))

    def _ask(self, message: object) -> None:
        self._feed(Request(message, asker="oracle", incarnation=1_000))

    def _feed(self, event: object) -> None:
        self._events.append(event)
        while self._events:
            for effect in self.core.handle(self._events.popleft(), 0.0):
                self._do(effect)

    def _do(self, effect: object) -> None:
        match effect:
            case Spawn(spec=spec, incarnation=number):
                self._starts[spec.id] = nth = self._starts.get(spec.id, 0) + 1
                if nth in self._failing[spec.id]:
                    self.words.append(f"?{spec.id}")
                    self._events.append(Down(spec.id, number, Kind.START_FAILED, "refused"))
                else:
                    self.words.append(f"+{spec.id}")
                    self._events.append(Ready(spec.id, number))
            case SendStop(id=name):
                self.words.append(f"-{name}")
                self._events.append(Down(name, self.core.children[name].incarnation, Kind.SHUTDOWN, "asked"))
            case Reply(reply=reply):
                self.words.append(f"={reply.error or 'ok'}")
            case Arm(id=name, due=Due.RESTART, epoch=epoch):
                self._events.append(TimerFired(name, Due.RESTART, epoch))
            case _:
                pass


def _spec(child: ProgramChild) -> ChildSpec:
    return ChildSpec(child.id, _never, restart=Restart(child.restart), significant=child.significant, backoff=NO_DELAY)


def _never() -> None:
    raise AssertionError("the oracle starts nothing")


def trace(program: Program) -> list[str]:
    """What the decision core does with the program."""
    return World(program).run(program.steps)
