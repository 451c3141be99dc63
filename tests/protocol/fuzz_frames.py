"""Mutated frames against both sides: only declared errors may come out, and memory stays flat.

`python -m tests.protocol.fuzz_frames --frames 1000000 --seed 7`
"""

import argparse
import random
import resource
import time

from protocol.bundle import join
from protocol.codec import encode
from protocol.envelope import seal
from protocol.errors import ProtocolError
from protocol.keys import Purpose
from protocol.messages.control import Heartbeat
from protocol.messages.reports import CommandAccepted
from tests.fakes.trust import AGENT, NOW_MS, key, pair
from tests.protocol.fuzz_values import PARSERS

TOKENS = (b"\xc0", b"\xdf\xff\xff\xff\xff", b"\xc7\x01\x05x", b"\x91" * 40, b"\xcf" + b"\xff" * 8, b"\xff", b"\x00" * 9)
TO_AGENT, TO_MASTER = ("link", Purpose.TO_AGENT), ("agent", Purpose.TO_MASTER)
"""Who signs for a side, and for what."""


def mutate(rng: random.Random, frame: bytes) -> bytes:
    """One to four changes: a bit, a byte, a cut, a repeat, an insert."""
    data = bytearray(frame)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data)) if data else 0
        kind = rng.randrange(5)
        if kind == 0 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[at] = rng.randrange(256)
        elif kind == 2:
            del data[at : at + rng.randint(1, 16)]
        elif kind == 3:
            data[at:at] = data[at : at + rng.randint(1, 16)]
        else:
            data[at:at] = rng.choice(TOKENS)
    return bytes(data)


def numbered(both, seq: int) -> bytes:
    """A good body of the master with this number."""
    return encode(["heartbeat", both.agent.channel.session_id, seq, 0, None, NOW_MS, b"i" * 16, None, {"at_ms": 1}])


def run(frames: int, seed: int) -> dict[str, int]:
    """How many frames ended in which outcome; anything but a declared error is raised."""
    rng = random.Random(seed)
    outcomes: dict[str, int] = {}
    both = pair().shake()
    bodies = [
        encode(["heartbeat", both.agent.channel.session_id, 1, 0, None, NOW_MS, b"i" * 16, None, {"at_ms": 1}]),
        encode(["command", both.agent.channel.session_id, 1, 0, 1, NOW_MS, b"i" * 16, None, {"envelope": b"x" * 90}]),
        encode([AGENT, 1, [1, {"a": [True, None, 1.5]}]]),
    ]
    bodies += [join(bodies), join([numbered(both, seq) for seq in range(1, 5)])]
    plain = [both.from_master(Heartbeat(at_ms=1)), both.from_agent(CommandAccepted(command_id="0" * 32)), both.hello]
    plain += [both.together(side, Heartbeat(at_ms=1), Heartbeat(at_ms=2)) for side in ("agent", "master")]
    for number in range(frames):
        if number % 1_000 == 0:
            both = pair().shake()
        if rng.random() < 0.5:
            frame = mutate(rng, rng.choice(plain))
        else:  # a known peer that sends nonsense: its signature holds
            body = mutate(rng, rng.choice(bodies))[:60_000]
            if rng.random() < 0.2:  # a bundle whose form holds, with nonsense in it
                body = join([mutate(rng, rng.choice(bodies)) for _ in range(rng.randint(2, 4))])
            side, (signer, purpose) = rng.choice(((both.agent, TO_AGENT), (both.master, TO_MASTER)))
            side.channel.received = 0
            frame = seal(key(signer), purpose, side.channel.bind, body)
        for receive in (lambda data: both.agent.receive(data, NOW_MS), both.master.receive, both.master.greet):
            _count(outcomes, receive, frame)
        _count(outcomes, PARSERS[number % len(PARSERS)], rng)
    return outcomes


def _count(outcomes: dict[str, int], parse, given) -> None:
    try:
        found = parse(given)
        name = type(found[0] if isinstance(found, list) else found).__name__
    except ProtocolError as error:
        if "s3cret" in f"{error} {error.field}":
            raise AssertionError("an error repeats its input") from error
        name = str(error.code)
    outcomes[name] = outcomes.get(name, 0) + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = run(arguments.frames, arguments.seed)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{arguments.frames} frames in {time.monotonic() - begun:.0f} s, memory grew by {grown} KiB, {outcomes}")


if __name__ == "__main__":
    main()
