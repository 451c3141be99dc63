"""The decision core against real Erlang/OTP: the same programs, the same traces."""

import os
import random

import pytest

from tests.actors.supervision.oracle.erlang import Otp
from tests.actors.supervision.oracle.programs import generate, trace

PROGRAMS = int(os.environ.get("MOSALAMA_ORACLE_PROGRAMS", "2000"))


@pytest.fixture(scope="module")
def otp(tmp_path_factory):
    return Otp(tmp_path_factory.mktemp("otp"))


def smallest(otp, program):
    """Take parts away from a program that differs for as long as it still does."""
    while True:
        candidates = program.smaller()
        differing = [
            candidate
            for candidate, theirs in zip(candidates, otp.traces(candidates), strict=True)
            if trace(candidate) != theirs
        ]
        if not differing:
            return program
        program = differing[0]


@pytest.mark.timeout(300)
def test_generated_programs_have_the_traces_of_real_otp(otp):
    seed = int(os.environ.get("MOSALAMA_SEED", random.SystemRandom().randrange(2**32)))
    print(f"seed {seed}: MOSALAMA_SEED={seed} repeats it")
    rng = random.Random(seed)
    programs = [generate(rng) for _ in range(PROGRAMS)]
    differing = [
        program for program, theirs in zip(programs, otp.traces(programs), strict=True) if trace(program) != theirs
    ]
    if differing:
        program = smallest(otp, differing[0])
        pytest.fail(
            f"seed {seed}: {len(differing)} of {PROGRAMS} differ; the smallest:\n{program.term()}"
            f"OTP:  {' '.join(otp.traces([program])[0])}\nours: {' '.join(trace(program))}"
        )
