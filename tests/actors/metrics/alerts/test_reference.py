"""Looking only at what changed says exactly what reckoning everything anew at every look says, for any history."""

import itertools
import random
from dataclasses import replace

import pytest

from actors.facts import EngineFacts
from actors.metrics.alerts import step as stepping
from actors.metrics.alerts.derive import Signals
from actors.metrics.alerts.derive_gpu import BUSY, SLOWDOWN_C, XIDS
from actors.metrics.alerts.rule import Rules
from actors.metrics.alerts.rules import DEFAULT_RULES
from actors.metrics.alerts.state import Memory, Moment
from actors.metrics.snapshot import Snapshot
from config.metrics import MetricsSettings

GPUS = ("one", "two", "three")
LOOKS = 250
SETTINGS = MetricsSettings()
CHOICES = {
    "utilization": (None, 0.0, 0.04, 0.5, 1.0),
    "temperature_c": (None, 40, 84, 86, 91),
    "memory_used_bytes": (None, 0, 50, 96, 100),
    "unified": (None, None, None, True),
    "slowdown_c": (None, 90, 87),
    "ecc_uncorrectable": (0, 0, 1),
    "remap_pending": (0, 0, 1),
    "remap_failure": (0, 0, 0, 1),
    "fan_share": (None, 0.0, 0.5, 0.97),
    "nvlinks_up": (None, 4, 4, 3),
    "pcie_width": (8, 16),
    "lost": (0, 0, 0, 1),
}
COUNTERS = ("ecc_corrected", "pcie_replays", "nvlink_errors", *(total for total, _ in XIDS))


class Plain:
    """The signals of one GPU by their meaning: everything it ever said, reckoned anew each time."""

    fresh = frozenset()
    """Not asked for: every rule looks at every subject."""

    def __init__(self):
        self.seen, self.told = [], 0

    def see(self, gpu, now_s):
        self.seen.append((now_s, dict(gpu)))

    def values(self, name):
        return [(at_s, gpu[name]) for at_s, gpu in self.seen if gpu.get(name) is not None]

    def steps(self, name, after=0):
        """What it grew by, and when; `after` so many looks that were told already."""
        values = [
            (number, at_s, gpu[name]) for number, (at_s, gpu) in enumerate(self.seen) if gpu.get(name) is not None
        ]
        pairs = itertools.pairwise(values)
        return [
            (at_s, new - old if new >= old else new) for (_, _, old), (number, at_s, new) in pairs if number >= after
        ]

    def share(self, name):
        values = self.values(name)
        while len(values) > 2 and values[1][0] <= values[-1][0] - 60.0:
            values.pop(0)
        return sum(value for _, value in values) / len(values) if values else None

    def hour(self, name):
        steps, values = self.steps(name), self.values(name)
        if len(values) < 2:
            return None
        return sum(grown for at_s, grown in steps if at_s > values[-1][0] - 3_600.0)

    def figures(self, gpu, holder, engines, now_s):
        names = ("ecc_uncorrectable", "remap_pending", "remap_failure", "fan_share", "xid_code", "xid_text")
        found = {name: gpu.get(name) for name in (*names, "temperature_c")}
        after, self.told = self.told, len(self.seen)
        found["lost"], found["xid_engine"] = int(bool(gpu.get("lost"))), holder.name if holder else "none of ours"
        for total, new in XIDS:
            if gpu.get(total) is not None:
                found[new] = sum(grown for _, grown in self.steps(total, after))
        found["xid_app_10m"] = sum(grown for at_s, grown in self.steps("xid_app_total") if at_s > now_s - 600.0)
        if gpu.get("throttle_thermal") is not None:
            found["throttle_thermal_share"] = self.share("throttle_thermal")
            found["throttle_brake_share"] = self.share("throttle_brake")
        found["ecc_corrected_per_hour"] = self.hour("ecc_corrected")
        found["pcie_replays_per_hour"] = self.hour("pcie_replays")
        if gpu.get("temperature_c") is not None:
            found["slowdown_margin_c"] = (gpu.get("slowdown_c") or SLOWDOWN_C) - gpu["temperature_c"]
        total, used, busy = gpu.get("memory_total_bytes"), gpu.get("memory_used_bytes"), gpu.get("utilization")
        if not gpu.get("unified") and total and used is not None:
            found["memory_used_share"], found["memory_free_bytes"] = used / total, total - used
            found["reserved_by_engine"] = int(holder is not None)
        if gpu.get("nvlinks_up") is not None:
            found["nvlink_down"] = max(up for _, up in self.values("nvlinks_up")) - gpu["nvlinks_up"]
        if gpu.get("nvlink_errors") is not None:
            found["nvlink_errors_new"] = sum(grown for _, grown in self.steps("nvlink_errors", after))
        if gpu.get("pcie_width") and gpu.get("pcie_width_max") and (busy or 0.0) >= BUSY:
            found["pcie_width_share"] = gpu["pcie_width"] / gpu["pcie_width_max"]
        waiting = engines.get(holder.name, {}).get("waiting") if holder else None
        if busy is not None and not (holder and waiting is None):
            found["idle_with_queue"] = int(bool(waiting) and busy < BUSY)
        return found


def known(values):
    """Without signals that nobody knows now."""
    return {
        scope: {
            subject: {name: value for name, value in figures.items() if value is not None}
            for subject, figures in subjects.items()
        }
        for scope, subjects in values.items()
    }


def plain_step(memory, samples, now):
    """Every rule at every subject."""
    found, values = dict(memory.alerts), {"rule": stepping._held_back(memory), **samples.values}
    for rule in DEFAULT_RULES:
        for subject, figures in values.get(rule.scope, {}).items():
            stepping._look(found, rule, subject, figures, now)
    by_name = {rule.name: rule for rule in DEFAULT_RULES}
    stepping._sweep(found, by_name, samples, now)
    return stepping._tell(found, by_name, memory, now)


class World:
    """Snapshots of a machine on which things happen now and then, and long nothing does."""

    def __init__(self, rng):
        self.rng, self.now_s = rng, 1_000.0
        self.gpus = {name: {"memory_total_bytes": 100, "pcie_width_max": 16} for name in GPUS}
        self.waiting = 0
        self.snapshot = Snapshot(1.0, drivers={"gpu": {"hung": 0, "mismatch": 0, "gpus_missing": 0}})
        for gpu in self.gpus.values():
            gpu.update(dict.fromkeys(COUNTERS, 0) | {name: values[-2] for name, values in CHOICES.items()})
            gpu.update({"throttle_thermal": False, "throttle_brake": False})

    def pass_time(self):
        rng = self.rng
        self.now_s += rng.choice((0.01, 1.0, 1.0, 1.0, 5.0, 61.0, 700.0 if rng.random() < 0.1 else 1.0))
        rooms = {}
        if rng.random() < 0.8:
            for gpu in self.gpus.values():
                self._happen(gpu)
            rooms["gpus"] = {name: dict(gpu) for name, gpu in self.gpus.items() if rng.random() < 0.98}
        if rng.random() < 0.3:
            self.waiting = rng.choice((None, 0, 3))
            rooms["engines"] = {"chat": {"state": "ready", "waiting": self.waiting, "running": 1, "kv_usage": 0.97}}
        if rng.random() < 0.3:
            rooms["host"] = {"memory.total_bytes": 100, "memory.available_bytes": rng.choice((4, 9, 50))}
        self.snapshot = self.snapshot.with_part(self.now_s, rooms)

    def _happen(self, gpu):
        rng = self.rng
        gpu["temperature_c"] = rng.choice(CHOICES["temperature_c"]) if rng.random() < 0.1 else gpu["temperature_c"]
        gpu["throttle_thermal"], gpu["throttle_brake"] = rng.random() < 0.4, rng.random() < 0.01
        if rng.random() < 0.03:
            name = rng.choice(sorted(CHOICES))
            gpu[name] = rng.choice(CHOICES[name])
        if rng.random() < 0.03:
            name = rng.choice(COUNTERS)
            gpu[name] = rng.choice((0, gpu[name] + 1, gpu[name] + 60))
            gpu |= {"xid_code": gpu[name], "xid_text": name}


@pytest.mark.parametrize("seed", [*range(20), random.SystemRandom().randrange(1 << 32)])
def test_both_find_the_same_alerts_and_tell_the_same(seed):
    print("seed", seed)
    world = World(random.Random(seed))
    ours, plain = Signals(SETTINGS, world.now_s), Signals(SETTINGS, world.now_s)
    plain._of_gpu = {name: Plain() for name in GPUS}
    memories, heard = [Memory(), Memory()], 0
    for look in range(LOOKS):
        now = Moment(world.now_s, 5_000.0 + world.now_s, "boot")
        if look % 40 == 0:
            facts = EngineFacts("chat", "vllm", "ready", gpus=("one",) if world.rng.random() < 0.7 else ())
            for signals in (ours, plain):
                signals.engines_are((facts,), world.now_s)
        news = [signals.snapshot_is(world.snapshot, world.now_s) for signals in (ours, plain)]
        assert news[0] == news[1]
        scopes = news[0] | {alert.scope for alert in memories[0].alerts.values()}
        seen, wanted = (signals.samples(world.now_s, scopes) for signals in (ours, plain))
        assert known(seen.values) == known(wanted.values)
        memories[0], told = stepping.step(Rules(DEFAULT_RULES), memories[0], seen, now)
        memories[1], want = plain_step(memories[1], replace(wanted, fresh=None), now)
        assert told == want
        assert dict(memories[0].alerts) == dict(memories[1].alerts)
        heard += len(told)
        world.pass_time()
    assert heard, "a history in which nothing happens shows nothing"
