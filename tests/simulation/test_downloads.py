"""The downloads' part of the tree in simulated time: pulls, crashes, collections, commands, turn for turn by a seed."""

import random

import pytest

from actors.downloads.bodies.api import Cancelled
from actors.downloads.errors import TransferError
from actors.downloads.manager.actor import DownloadManagerActor
from actors.downloads.store import ModelStore
from actors.journal import messages as journal
from actors.supervision.spec import ChildSpec, Strategy, SupervisorSpec
from actors.supervision.system import System
from protocol.messages.commands import (
    ModelCancel,
    ModelGc,
    ModelList,
    ModelPause,
    ModelPin,
    ModelPriority,
    ModelPull,
    ModelVerify,
)
from protocol.messages.model_source import ModelSource
from tests.actors.downloads.shelf import manifest, place, settings
from tests.fakes.listener import Listener
from tests.simulation.runtime import Schedule, SimRuntime
from tests.simulation.world import quiet

MODELS = 3
SIZE = 40_000
NEWER_S = 300.0
"""Each model has a new commit so often."""
EPOCH = 1_800_000_000.0


class Ward:
    """A manager and its transfers on simulated threads, a real store, and a hub that only takes time."""

    def __init__(self, seed, folder):
        self.schedule, self.rng = Schedule(seed), random.Random(seed)
        self.runtime = SimRuntime(self.schedule, "downloads")
        self.journal, self.observer = Listener("/journal"), Listener("/observer")
        self.settings = settings(folder, quota_bytes=5 * SIZE, young_s=0.0, transfers_max=2, verify_every_s=1_800.0)
        self.store = ModelStore(self.settings, wall=self.wall)
        self.sent, self.files, self.at_once, self.crashes = 0, {}, set(), 0
        self.runtime.spawn("main", self._main)

    def wall(self):
        return EPOCH + self.schedule.now

    def _main(self):
        held = []

        def manager():
            return DownloadManagerActor(
                settings=self.settings,
                store=self.store,
                bring=self.bring,
                allowed=lambda _uri: True,
                resolve=self.resolve,
                transfers=held[0].handle("/root/transfers"),
                transfer=lambda name: held[0].handle(f"/root/transfers/{name}"),
                journal_handle=self.journal,
                observers=(self.observer,),
                wall=self.wall,
            )

        children = (
            ChildSpec("transfers", SupervisorSpec(strategy=Strategy.DYNAMIC, intensity=1_000)),
            ChildSpec("manager", manager),
        )
        self.system = System(SupervisorSpec(children=children), runtime=self.runtime)
        held.append(self.system)
        self.system.start(60.0)
        self.system.wait_for_exit(1e9)

    def sleep(self, most_s):
        self.runtime.parker().park(self.rng.uniform(0.0, most_s))
        self.runtime.check()

    def resolve(self, source, _read):
        self.sleep(5.0)
        number = int(source.model.removeprefix("org/m")) + 1 + MODELS * int(self.schedule.now // NEWER_S)
        files = {"weights": str(number).encode().ljust(SIZE), "tokenizer": b"same" * 100}
        self.files[number] = files
        return manifest(number, files, model=source.model)

    def bring(self, staging, files, control, progress):
        key = staging.manifest.key
        assert key not in self.at_once, "one transfer for each version"
        self.at_once.add(key)
        try:
            for file in files:
                self.sleep(200.0)
                if control.cancelled:
                    raise Cancelled
                dice = self.rng.random()
                if dice < 0.2:
                    raise TransferError("E_NETWORK", "the line broke", retry=True)
                if dice < 0.35:
                    self.crashes += 1
                    raise RuntimeError("a fault of ours")
                place(staging, self.files[int(staging.manifest.commit, 16)], [file])
        finally:
            self.at_once.discard(key)

    def command(self):
        """One more; a person's whim."""
        self.sent += 1
        model = f"org/m{self.rng.randrange(MODELS)}"
        pull = ModelPull(source=ModelSource(uri=f"hf://{model}"), priority=self.rng.randrange(10))
        others = [
            ModelGc(),
            ModelList(),
            ModelVerify(model=model),
            ModelPin(model=model, revision="current", pinned=False),
            ModelPause(model=model, paused=True),
            ModelPause(model=model, paused=False),
            ModelPriority(model=model, priority=self.rng.randrange(10)),
            ModelCancel(model=model),
        ]
        wanted = pull if self.rng.random() < 0.5 else self.rng.choice(others)
        self.system.handle("/root/manager").tell(journal.Execute(f"{self.sent:032x}", wanted, b""))
        if self.schedule.now < 2 * 3_600:
            self.schedule.after(self.rng.expovariate(1 / 60.0), self.command)
        else:
            self.resume()

    def resume(self):
        """What a person paused goes on, so that it ends."""
        for number in range(MODELS):
            self.sent += 1
            go_on = ModelPause(model=f"org/m{number}", paused=False)
            self.system.handle("/root/manager").tell(journal.Execute(f"{self.sent:032x}", go_on, b""))

    def run(self):
        self.schedule.after(1.0, self.command)
        with quiet():
            self.schedule.run_until(4 * 3_600.0)
        outcomes = self.journal.of(journal.Outcome)
        versions = [(one.key, one.state.pinned, one.state.damaged) for one in self.store.versions()]
        return outcomes, versions

    def close(self):
        self.runtime.kill()
        self.store.close()


def once(seed, folder):
    ward = Ward(seed, folder)
    try:
        outcomes, versions = ward.run()
        used = ward.store.space().used_bytes
        return ward, outcomes, versions, used
    finally:
        ward.close()


@pytest.mark.parametrize("seed", range(4, 6))
def test_every_command_has_one_end_and_the_quota_holds(seed, tmp_path):
    print(f"seed {seed}")
    ward, outcomes, versions, used = once(seed, tmp_path / "models")
    assert ward.sent > 60
    ended = [outcome.command_id for outcome in outcomes]
    assert len(ended) == len(set(ended)) == ward.sent, "each once, none lost"
    assert {outcome.state for outcome in outcomes} == {"done", "failed", "cancelled"}
    assert ward.crashes > 1
    assert any(outcome.error is not None and outcome.error.code == "E_NETWORK" for outcome in outcomes)
    assert used <= 5 * SIZE + 10_000
    assert versions
    assert not any(damaged for _, _, damaged in versions)


def test_the_same_seed_is_the_same_run(tmp_path):
    runs = [once(7, tmp_path / name)[1:3] for name in ("one", "two")]
    told = [[(one.command_id, one.state, one.error and one.error.code) for one in outcomes] for outcomes, _ in runs]
    assert told[0] == told[1]
    assert runs[0][1] == runs[1][1]
