"""Frames that a coverage-guided fuzzer grows, against both sides of the protocol: only declared errors may come out.

`python -m tests.protocol.fuzz_coverage --runs 200000`. Needs atheris, which has wheels for Linux on x86-64 only and is
therefore no part of the lock: `pip install atheris`. Without it this says so and ends; `fuzz_frames` needs nothing.
"""

import argparse
import importlib.util
import sys

WHERE = ("protocol.codec", "protocol.envelope", "protocol.bundle", "protocol.channel", "protocol.command")
WHERE += (
    "protocol.handshake",
    "protocol.keyset",
    "protocol.enrollment",
    "protocol.tokens",
    "protocol.messages.registry",
)


def targets():
    """Parsers by number: what a stranger, a known agent, a known master and an operator's file can reach."""
    from protocol.bundle import split
    from protocol.codec import decode
    from protocol.command import open_command
    from protocol.enrollment import open_request
    from protocol.envelope import cut, seal
    from protocol.keys import UNBOUND, Purpose, digest
    from protocol.keyset import open_keyset
    from protocol.master_session import MasterSession
    from protocol.messages.registry import ALL, parse
    from protocol.tokens import parse_join_token, token_owner
    from tests.fakes.trust import AGENT, NOW_MS, ROOTS, key, pair

    both = pair().shake()
    publics = {key("command").kid: key("command").public}

    def known(body):
        both.agent.channel.received = 0
        both.agent.receive(seal(key("link"), Purpose.TO_AGENT, both.agent.channel.bind, body), NOW_MS)

    def command(body):
        open_command(seal(key("command"), Purpose.COMMAND, digest(AGENT.encode()), body), AGENT, publics)

    def payload(data):
        words = sorted(ALL)
        parse(ALL, words[data[0] % len(words)] if data else "", decode(data[1:]))

    return (
        cut,
        split,
        decode,
        known,
        command,
        payload,
        MasterSession.greet,
        lambda data: open_request(seal(key("agent"), Purpose.ENROL_REQUEST, UNBOUND, data)),
        lambda data: open_keyset(data, ROOTS, now_ms=NOW_MS),
        lambda data: parse_join_token(data.decode("latin-1")),
        lambda data: token_owner(data.decode("latin-1")),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200_000)
    runs = parser.parse_args().runs
    if importlib.util.find_spec("atheris") is None:
        print("no coverage-guided run: atheris is not installed (pip install atheris; Linux on x86-64)")
        return
    import atheris

    with atheris.instrument_imports(include=list(WHERE)):
        from protocol.errors import ProtocolError

        parsers = targets()

    def one(data: bytes) -> None:
        if data:
            try:
                parsers[data[0] % len(parsers)](data[1:60_000])
            except ProtocolError:
                pass

    atheris.Setup([sys.argv[0], f"-runs={runs}", "-max_len=4096", "-rss_limit_mb=1024"], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
