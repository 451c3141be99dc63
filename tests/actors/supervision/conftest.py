"""A world on real threads; at its end every thread, actor and timer of it must be gone."""

import threading

import pykka
import pytest

from actors.supervision.threads import ThreadRuntime
from tests.actors.supervision.harness import World


@pytest.fixture
def runtime():
    return ThreadRuntime(seed=7)


@pytest.fixture
def world(runtime, monkeypatch):
    escaped = []
    monkeypatch.setattr(threading, "excepthook", escaped.append)
    before = set(threading.enumerate())
    world = World(runtime)
    yield world
    world.close()
    world.until(lambda: not set(threading.enumerate()) - before, "every thread has ended")
    assert not pykka.ActorRegistry.get_all()
    assert not escaped
