"""A world on real threads and one in the simulation; at its end every worker, actor and timer of it must be gone.

A test that is about threads themselves says so with the mark `threads` and runs on those only.
"""

import threading

import pykka
import pytest

from actors.supervision.threads import ThreadRuntime
from tests.actors.supervision.harness import World
from tests.simulation.runtime import Schedule, SimRuntime

SEED = 7


def pytest_generate_tests(metafunc):
    if "runtime" in metafunc.fixturenames:
        real = metafunc.definition.get_closest_marker("threads") or "conformance" not in metafunc.definition.path.parts
        kinds = ["threads"] if real else ["threads", "simulated"]
        metafunc.parametrize("runtime", kinds, indirect=True)


@pytest.fixture
def runtime(request):
    return ThreadRuntime(seed=SEED) if request.param == "threads" else SimRuntime(Schedule(SEED))


@pytest.fixture
def world(runtime, monkeypatch):
    escaped = []
    monkeypatch.setattr(threading, "excepthook", escaped.append)
    before = set(threading.enumerate())
    world = World(runtime)
    yield world
    world.close()
    if isinstance(runtime, SimRuntime):
        world.until(lambda: not runtime.workers, "every worker has ended")
        escaped += runtime.escaped
    world.until(lambda: not set(threading.enumerate()) - before, "every thread has ended")
    assert not pykka.ActorRegistry.get_all()
    assert not escaped
