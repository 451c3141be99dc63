"""What safe mode takes away from a start after deaths for want of memory: pure, without a GPU."""

import pytest

from actors.engines.failures import CAUSES
from actors.engines.kinds.base import Machine
from actors.engines.kinds.table import known_kinds
from actors.engines.replica.memory import Memory
from actors.engines.replica.tries import SAFE_CONTEXT, Death, Tries, less
from actors.engines.replica.weights import Weights
from actors.engines.restarts import History
from actors.facts import LocalModel
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource
from tests.fakes.context import FakeHandle

MEMORY, OTHER = "gpu_out_of_memory", "crashed"
RESTART = {"safe_mode": True, "attempts": 10}


def spec(kind="vllm", **fields):
    given = {"kind": kind, "image": "x/y:z", "model": ModelSource(uri="hf://org/tiny"), "restart": RESTART}
    return EngineSpec(**(given | fields))


def after(wanted, *causes):
    """What the next start takes once it died of these, one a second."""
    tries = Tries(Memory(FakeHandle(), "chat"), History(), ())
    for at, cause in enumerate(causes):
        tries.died(Death(float(at), CAUSES[cause], "exit 1"), wanted.restart, served=True)
    by_fraction = "memory_fraction" in known_kinds()[wanted.kind].traits.features
    return tries.modest(wanted, by_fraction=by_fraction)


@pytest.mark.parametrize(
    ("asked", "deaths", "fraction"),
    [
        (0.8, 1, None),
        (0.8, 2, 0.68),
        (0.8, 3, 0.578),
        (0.8, 4, 0.491),
        (0.8, 9, 0.491),
        (None, 2, 0.765),
        (None, 4, 0.553),
    ],
)
def test_each_death_for_want_of_memory_takes_a_part_of_the_gpus_three_times_at_most(asked, deaths, fraction):
    smaller = after(spec(gpus={"count": 1, "memory_fraction": asked}), *[MEMORY] * deaths)
    assert (smaller.gpus.memory_fraction if smaller else None) == fraction


def test_its_other_wishes_about_gpus_are_kept():
    wanted = spec(gpus={"uuids": ("GPU-0", "GPU-1"), "memory_fraction": 0.9}, tensor_parallel=2)
    smaller = after(wanted, MEMORY, MEMORY)
    assert smaller.gpus.uuids == wanted.gpus.uuids
    assert smaller.tensor_parallel == 2


@pytest.mark.parametrize("cause", ["gpu_out_of_memory", "kv_cache_too_small", "gpu_memory_taken", "host_out_of_memory"])
def test_every_want_of_memory_counts(cause):
    assert after(spec(gpus={"count": 1}), cause, MEMORY) is not None


@pytest.mark.parametrize("causes", [(OTHER, OTHER), (MEMORY, OTHER), (MEMORY, MEMORY, OTHER), (OTHER, MEMORY)])
def test_only_deaths_for_want_of_memory_in_a_row_count(causes):
    assert after(spec(gpus={"count": 1}), *causes) is None


def test_a_spec_that_does_not_allow_it_runs_as_it_is():
    assert after(spec(gpus={"count": 1}, restart=RESTART | {"safe_mode": False}), MEMORY, MEMORY) is None


def test_without_gpus_the_context_alone_is_shortened_and_without_either_nothing_is():
    smaller = after(spec(context_length=4_096), MEMORY, MEMORY)
    assert (smaller.context_length, smaller.gpus.memory_fraction) == (2_048, None)
    assert after(spec(), MEMORY, MEMORY) is None


def test_a_kind_that_knows_no_part_of_the_memory_is_given_a_shorter_context_or_nothing():
    smaller = after(spec("llamacpp", gpus={"count": 1}, context_length=4_096), MEMORY, MEMORY)
    assert (smaller.context_length, smaller.gpus.memory_fraction) == (2_048, None)
    assert after(spec("llamacpp", gpus={"count": 1}), MEMORY, MEMORY) is None


@pytest.mark.parametrize(("asked", "least"), [(600, SAFE_CONTEXT), (512, 512), (300, 300)])
def test_a_context_is_not_made_shorter_than_is_of_use(asked, least):
    smaller = after(spec(context_length=asked, gpus={"count": 1}), *[MEMORY] * 4)
    assert smaller.context_length == least


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("vllm", ("--gpu-memory-utilization", "0.68")),
        ("sglang", ("--mem-fraction-static", "0.68")),
        ("tgi", ("CUDA_MEMORY_FRACTION", "0.68")),
    ],
)
def test_the_engine_is_told_the_smaller_part(kind, where):
    smaller = after(spec(kind, gpus={"count": 1, "memory_fraction": 0.8}), MEMORY, MEMORY)
    model = Weights(LocalModel("org/tiny", "c" * 40, "/m", ("config.json", "model.safetensors"), 1 << 20))
    launch = known_kinds()[kind].launch(smaller, model.files(), Machine(2.0, 1 << 34, gpus=("GPU-0",)))
    told = [*zip(launch.argv, launch.argv[1:], strict=False), *launch.env.items()]
    assert where in told


def test_what_is_taken_is_said_in_words():
    wanted = spec(gpus={"count": 1, "memory_fraction": 0.8}, context_length=4_096)
    words = less(wanted, after(wanted, MEMORY, MEMORY))
    assert words == "0.68 of the GPU's memory instead of 0.8, a context of 2048 instead of 4096"
    unsaid = spec(gpus={"count": 1})
    assert less(unsaid, after(unsaid, MEMORY, MEMORY)) == "0.765 of the GPU's memory"
