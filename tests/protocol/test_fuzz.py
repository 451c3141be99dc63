import random

from tests.protocol.fuzz_frames import run


def test_a096_mutated_frames_give_declared_errors_only():
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    outcomes = run(6_000, seed)
    assert sum(outcomes.values()) == 18_000
    assert {"E_FRAME", "E_SIG", "ContentFault"} <= set(outcomes)
