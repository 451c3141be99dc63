"""What fits on a machine, whose memory a GPU still holds, and which containers nobody wants: pure."""

from dataclasses import replace

import pytest

from actors.engines.containers_api import Observed
from actors.engines.errors import RefusedError
from actors.engines.images import Layer, too_big
from actors.engines.kinds.base import Machine
from actors.engines.kinds.table import known_kinds
from actors.engines.manager.admission import Admission
from actors.engines.manager.orphans import judge
from actors.engines.manager.vram import HARD_S, SLACK_BYTES, Leaving, baseline_of, settle
from actors.engines.messages import RestartEngine, StopEngine
from actors.engines.replica.orders import Order, follow
from config.engines import EnginesSettings
from config.policy import PolicySettings
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource

GIB = 1 << 30
MACHINE = Machine(8.0, 64 * GIB, ("GPU-a", "GPU-b", "GPU-c"))
ADMISSION = Admission(EnginesSettings(), PolicySettings(images=("x/y:*",)), known_kinds(), MACHINE)


def spec(**fields):
    return EngineSpec(**({"kind": "llamacpp", "image": "x/y:z", "model": ModelSource(uri="hf://org/tiny")} | fields))


@pytest.mark.parametrize(
    ("asked", "others", "code", "words"),
    [
        ({"memory_bytes": 65 * GIB}, {}, "E_BUSY", "this machine has 65,536 MiB"),
        ({"memory_bytes": 30 * GIB}, {"a": {"memory_bytes": 40 * GIB}}, "E_BUSY", "at most 24,576 MiB would fit"),
        ({"shm_bytes": 65 * GIB}, {}, "E_BUSY", "this machine has 65,536 MiB"),
        ({"shm_bytes": 30 * GIB}, {"a": {"shm_bytes": 40 * GIB}}, "E_BUSY", "at most 24,576 MiB would fit"),
        ({"cpus": 4.0}, {"a": {"cpus": 6.0}}, "E_BUSY", "at most 2 would fit"),
        ({"port": 9_000}, {}, "E_POLICY.net", "18000 to 18999"),
        ({"port": 18_001}, {"a": {"port": 18_001}}, "E_POLICY.net", "engine a has it"),
    ],
)
def test_too_much_is_refused_with_numbers_and_with_what_fits(asked, others, code, words):
    beside = {name: spec(**fields) for name, fields in others.items()}
    with pytest.raises(RefusedError) as refused:
        ADMISSION.check("new", spec(**asked), beside, draining=False)
    assert refused.value.code == code
    assert words in f"{refused.value} {refused.value.do}"


def test_shared_memory_lies_within_the_memory_that_an_engine_gets_here():
    admission = replace(ADMISSION, settings=EnginesSettings(memory_default_bytes=4 * GIB))
    admission.check("new", spec(shm_bytes=4 * GIB), {}, draining=False)
    with pytest.raises(RefusedError, match="its memory limit is 4,096 MiB") as refused:
        admission.check("new", spec(shm_bytes=5 * GIB), {}, draining=False)
    assert "at most 4,096 MiB would fit" in refused.value.do


def test_an_image_that_cannot_fit_is_known_as_soon_as_its_layers_are():
    layers = {"a": Layer(come=1 << 20, total=600 << 20), "b": Layer(total=500 << 20)}
    assert too_big(layers, 1_000 << 20) == (
        "no space left for it: at least 1,100 MiB are to come, and Docker's disk has room for 1,000 MiB"
    )
    assert not too_big(layers, 1_100 << 20)
    assert not too_big(layers, None)


def test_an_engine_is_not_in_its_own_way():
    ADMISSION.check("chat", spec(memory_bytes=60 * GIB), {"chat": spec(memory_bytes=60 * GIB)}, draining=True)


def test_two_generations_beside_each_other_need_room_for_both():
    assert "both generations" in ADMISSION.crowded("chat", spec(cpus=5.0), {"chat": spec(cpus=5.0)})
    assert "MiB" in ADMISSION.crowded("chat", spec(memory_bytes=40 * GIB), {"chat": spec(memory_bytes=40 * GIB)})
    assert not ADMISSION.crowded("chat", spec(cpus=4.0), {"chat": spec(cpus=4.0)})


def test_a_new_generation_gets_other_gpus_where_there_are_enough_and_its_own_where_not():
    one, two = spec(gpus={"count": 1}), spec(gpus={"count": 2})
    assert ADMISSION.gpus("chat", one, {"chat": ("GPU-a",)}, update=True) == ("GPU-b",)
    assert ADMISSION.gpus("chat", two, {"chat": ("GPU-a", "GPU-b")}, update=True) == ("GPU-a", "GPU-b")
    assert ADMISSION.gpus("chat", one, {"chat": ("GPU-a",)}, update=False) == ("GPU-a",)
    before = {"chat": ("GPU-b",), "chat+last": ("GPU-a",)}  # an update overtakes another
    assert ADMISSION.gpus("chat", one, before, update=True) == ("GPU-c",)


def test_a_gpu_is_free_when_its_memory_is_and_told_of_once_when_it_is_not():
    leaving, baseline = Leaving("chat", ("GPU-a", "GPU-b"), 0.0), {"GPU-a": GIB}
    full = {"GPU-a": GIB + SLACK_BYTES + 1, "GPU-b": SLACK_BYTES}
    assert settle(leaving, full, baseline, 1.0) == (("GPU-a",), False)
    assert settle(leaving, full, baseline, HARD_S) == (("GPU-a",), True)
    assert settle(Leaving("chat", ("GPU-a",), 0.0, told=True), full, baseline, 2 * HARD_S) == (("GPU-a",), False)
    assert settle(leaving, {"GPU-a": GIB, "GPU-b": 0}, baseline, 1.0) == ((), False)
    assert settle(leaving, None, baseline, 1.0) == ((), False)
    assert baseline_of({"GPU-a": 1}, {"GPU-a": 9, "GPU-b": 2}, ("GPU-a",)) == {"GPU-a": 1, "GPU-b": 2}


def seen(engine, generation=1):
    return Observed(f"id-{engine}", engine, engine, generation, "", "", True, 0, False, 1, 18_000, "x")


def test_only_what_is_known_to_be_stopped_is_ended_and_only_after_a_while():
    found = [seen("wanted"), seen("stopped"), seen("unknown"), seen("newer", 5)]
    known = {"wanted": 1, "stopped": 2, "newer": 4}
    first = judge(found, {"wanted"}, known, {}, 0.0, 300.0)
    assert [one.engine for one in first.new] == ["stopped", "unknown", "newer"]
    assert first.end == ()
    later = judge(found, {"wanted"}, known, first.since, 300.0, 300.0)
    assert ([one.engine for one in later.end], later.new) == (["stopped"], ())


STOP, RESTART = StopEngine("s", 2, 0.0), RestartEngine("r", 0.0)


@pytest.mark.parametrize(
    ("before", "ask", "done", "updating", "order"),
    [
        (None, STOP, set(), False, Order.OBEY),
        (None, STOP, set(), True, Order.OBEY),
        (STOP, STOP, set(), False, Order.KNOWN),
        (RESTART, STOP, set(), False, Order.OBEY),
        (STOP, RESTART, set(), False, Order.LATE),
        (None, RESTART, {"r"}, True, Order.DONE),
        (None, RESTART, set(), True, Order.BUSY),
        (None, RESTART, set(), False, Order.OBEY),
    ],
)
def test_which_command_rules(before, ask, done, updating, order):
    assert follow(before, ask, done, updating=updating) is order
