"""The supervision room beside a bare thread and a queue, stock pykka, xoscar, and Erlang's own supervisor.

restart: from the message that crashes an actor to the answer of its replacement. tell: one producer, one actor, until
the last message is handled. Every contender does both in every round. Then what must be nothing: asks without an end
when a stop races them, and accepted commands lost while their owner crashes; and what a thousand idle actors cost.
"""

import statistics
import tempfile
from contextlib import ExitStack

from benchmarks.harness import Result, interleave, say
from benchmarks.supervised import crashes, field, idle, races
from benchmarks.supervised.ours import Ours
from benchmarks.supervised.raw_thread import RawThread
from benchmarks.supervised.stock_pykka import StockPykka

NAME = "supervision"
ROUNDS = 31
RESTARTS = 40
"""In a row, each round."""
TELLS = 30_000
SEED = 7


def run() -> list[Result]:
    """The rows of the contract."""
    with tempfile.TemporaryDirectory(prefix="supervision-") as folder, ExitStack() as stack:
        contenders = {
            "ours": Ours(),
            "raw_thread": RawThread(),
            "pykka": StockPykka(),
            "xoscar": field.xoscar(),
            "erlang": field.erlang(folder),
        }
        for contender in contenders.values():
            stack.enter_context(contender)
        rows = [*_restarts(contenders), *_tells(contenders)]
    return [*rows, *_asks(), *_losses(), *_idle()]


def _restarts(contenders):
    """The median of the rounds' medians, and the 99th percentile of every restart of every round."""
    say(f"{ROUNDS} rounds of {RESTARTS} restarts")
    every = {name: [] for name in contenders}

    def measure(name):
        taken = [seconds * 1e6 for seconds in contenders[name].restart(RESTARTS)]
        every[name].append(taken)
        return statistics.median(taken)

    medians = interleave({name: lambda name=name: measure(name) for name in contenders}, rounds=ROUNDS)
    p99 = {
        name: statistics.quantiles((one for taken in rounds[1:] for one in taken), n=100)[98]
        for name, rounds in every.items()
    }
    ours = medians["ours"].median
    for name, peer in medians.items():
        if name != "ours":
            target = 1.6 if name == "raw_thread" else None
            yield Result("restart_p50_us", "us", "lower", ours, peer=peer.median, peer_name=name, target=target)
    yield Result("restart_p99_us", "us", "lower", p99["ours"], target=10_000.0)
    for name, peer in p99.items():
        if name != "ours":
            yield Result("restart_p99_us", "us", "lower", p99["ours"], peer=peer, peer_name=name)


def _tells(contenders):
    say(f"7 rounds of {TELLS} messages")
    rates = interleave({name: lambda one=one: one.tell(TELLS) for name, one in contenders.items()}, rounds=7)
    ours = rates["ours"].median
    for name, peer in rates.items():
        if name != "ours":
            target = 0.8 if name == "raw_thread" else None
            yield Result("tell_per_s", "1/s", "higher", ours, peer=peer.median, peer_name=name, target=target)


def _asks():
    say(f"{races.ASKS} asks against stops")
    ours, stock = races.unresolved(Ours()), races.unresolved(StockPykka())
    yield Result("asks_unresolved", "asks", "lower", ours, target=0)
    yield Result("asks_unresolved", "asks", "lower", ours, peer=stock, peer_name="pykka")


def _losses():
    say(f"{crashes.COMMANDS} commands while their owner crashes, seed {SEED}")
    with tempfile.TemporaryDirectory(prefix="supervision-") as folder:
        ours = crashes.Run(SEED, folder).lost()
    stock = crashes.StockRun(SEED).lost()
    yield Result("commands_lost", "commands", "lower", ours, target=0)
    yield Result("commands_lost", "commands", "lower", ours, peer=stock, peer_name="pykka")


def _idle():
    say(f"{idle.ACTORS} idle actors")
    ours, raw = idle.of("ours"), idle.of("raw_thread")
    yield Result("idle_1000_actors_mib", "MiB", "lower", ours["mib"], target=20.0)
    yield Result("idle_1000_actors_mib", "MiB", "lower", ours["mib"], peer=raw["mib"], peer_name="raw_thread")
    yield Result("watchdog_scan_us", "us", "lower", ours["scan_us"], target=1_000.0)
