"""The rules of a group on trees drawn by a seed, with the kinds of children and of groups that the daemon has none of.

The daemon's own tree (test_simulation.py) has no temporary and no significant child, so nothing there could break I8 or
I13; I4 is broken here too, since a small tree says at once what a whole server hides.
"""

import random

import pytest

from actors.supervision.core import Core
from actors.supervision.plan import Plan
from actors.supervision.spec import AutoShutdown, Restart, Strategy
from actors.supervision.system import System
from tests.actors.supervision.harness import World, crash, leave, leave_shutdown, walk
from tests.simulation.invariants import Invariants
from tests.simulation.runtime import Schedule, SimRuntime
from tests.simulation.world import quiet

SEEDS = range(40)
STEPS = 60
STEP_S = 0.5
ENDS = (crash, leave, leave_shutdown)
GROUPS = (Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE)


def drawn_group(world, rng, name, depth):
    """A spec of a group with up to four children, some of them groups."""
    rule = rng.choice(list(AutoShutdown))
    return world.group(
        name,
        *(drawn_child(world, rng, f"{name}{number}", rule, depth) for number in range(rng.randint(1, 4))),
        strategy=rng.choice(GROUPS),
        of={"auto_shutdown": rule, "intensity": rng.choice((2, 100)), "period_s": 60.0},
        restart=rng.choice(list(Restart)),
    )


def drawn_child(world, rng, name, rule, depth):
    if depth and rng.random() < 0.3:
        return drawn_group(world, rng, name, depth - 1)
    restart = rng.choice(list(Restart))
    may_end = rule is not AutoShutdown.NEVER and restart is not Restart.PERMANENT
    return world.child(name, restart=restart, significant=may_end and rng.random() < 0.5)


def violations(seed):
    """What the rules said while drawn children of a drawn tree ended, one after the other, and then all."""
    rng, schedule, wrong = random.Random(seed), Schedule(seed), []
    runtime = SimRuntime(schedule)
    world = World(runtime)
    with quiet(), Invariants(wrong.append) as watched:
        system = world.start(drawn_group(world, rng, "a", 2), drawn_group(world, rng, "b", 1))
        for _ in range(STEPS):
            alive = [node.path for node in walk(system.tree()) if node.state == "running" and node.path != "/root"]
            if not alive or system.exit_code is not None:
                break
            end_one(system, rng.choice(alive), rng.choice(ENDS))
            schedule.run_until(schedule.now + rng.uniform(0.0, STEP_S))
            if wrong:
                break
        system.stop(60.0)
        watched.at_rest(schedule.now)
    assert watched.checked
    runtime.kill()
    return wrong


def end_one(system: System, path, how):
    handle = system.handle(path)
    if handle is not None:
        handle.tell(how)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_drawn_tree_keeps_the_rules(seed):
    assert violations(seed) == []


# -- the checks can fail ---------------------------------------------------------------------------------------


def _starts_the_last_one_first(monkeypatch):
    monkeypatch.setattr(
        Plan, "first_to_start", lambda plan, order: next((n for n in reversed(list(order)) if n in plan.to_start), None)
    )


def _restarts_whatever_ends(monkeypatch):
    monkeypatch.setattr(Core, "_exited", Core._fail)


def _forgets_who_is_significant(monkeypatch):
    monkeypatch.setattr(Core, "_check_auto_shutdown", lambda core, child: None)


BROKEN = [
    ("I4", _starts_the_last_one_first),
    ("I8", _restarts_whatever_ends),
    ("I13", _forgets_who_is_significant),
]


@pytest.mark.parametrize(("rule", "breaks"), BROKEN, ids=[rule for rule, _ in BROKEN])
def test_a_supervision_that_breaks_a_rule_is_seen(monkeypatch, rule, breaks):
    breaks(monkeypatch)
    told = [text for seed in SEEDS for text in violations(seed)]
    assert any(rule in text for text in told), told[:5]
