"""The engines' part of the tree on a real Docker Engine: what tests of an engine's life stand on."""

import os
import time
from pathlib import Path

from actors.engines.breaker import Breaker
from actors.engines.containers import DockerContainers
from actors.engines.kinds.base import Machine
from actors.engines.kinds.table import known_kinds
from actors.engines.manager.actor import ManagerActor
from actors.engines.ports import Ports
from actors.engines.probe import HttpProber
from actors.facts import EnginesChanged, LocalModel
from actors.journal import messages as journal
from actors.journal.actor import JournalActor
from actors.supervision.spec import ChildSpec, Strategy, SupervisorSpec
from actors.supervision.system import System
from config.engines import EnginesSettings
from config.journal import JournalSettings
from config.policy import PolicySettings
from protocol.messages.engine_spec import EngineSpec
from protocol.messages.model_source import ModelSource
from protocol.messages.reports import CommandResult
from tests.actors.journal.test_actor import signed
from tests.bed.processes import wait_until
from tests.fakes.listener import Listener

WAIT_S = 40.0
FIRST_PORT = 19_000 + 100 * (os.getpid() % 100)
"""Runs side by side on one machine get ports of their own."""
MACHINE = Machine(16.0, 1 << 36)


class OneFolder:
    """A model store with one version: the folder it is given."""

    def __init__(self, folder: Path, file: str) -> None:
        self.model = LocalModel("org/tiny", "c" * 40, str(folder), (file,), (folder / file).stat().st_size)
        self.leases: set[str] = set()

    def lease(self, source, holder):
        if source.model != "org/tiny":
            return None
        self.leases.add(holder)
        return self.model

    keep = lease

    def move(self, holder, to):
        if holder in self.leases:
            self.leases.remove(holder)
            self.leases.add(to)

    def release(self, holder):
        self.leases.discard(holder)


class Bench:
    """A journal and the engines' part of the tree; everything else only listens."""

    def __init__(
        self,
        folder: Path,
        host: str,
        image: str,
        models,
        label: str,
        extra_args=(),
        settings=None,
        machine=MACHINE,
        wrap=lambda inner: inner,
        images=(),
    ) -> None:
        self.observer, self.link = Listener("/observer"), Listener("/link")
        self.image, self.models, self.label = image, models, label
        chosen = {
            "docker_host": host,
            "port_min": FIRST_PORT,
            "port_max": FIRST_PORT + 99,
            "prove_s": 0.5,
            "drain_s": 20.0,
        }
        settings = self.settings = EnginesSettings.model_validate(chosen | (settings or {}))
        self.containers = Breaker(wrap(DockerContainers(settings)))
        self.ports = Ports(settings)
        self._policy = policy = PolicySettings(images=(image, "absent/image:v1", *images), extra_args=extra_args)
        self.clock_offset_s = 0.0
        held: list[System] = []

        def handle(path):
            return held[0].handle(path)

        def manager():
            return ManagerActor(
                settings=settings,
                policy=policy,
                kinds=known_kinds(),
                containers=self.containers,
                prober=HttpProber(),
                models=models,
                ports=self.ports,
                machine=machine,
                gpu_memory=lambda: None,
                agent_id=label,
                replicas=handle("/root/replicas"),
                replica=lambda name: handle(f"/root/replicas/{name}"),
                journal_handle=handle("/root/journal"),
                observers=(self.observer,),
                wall=self.wall,
            )

        def ledger():
            engines = handle("/root/manager")
            return JournalActor(
                file=folder / "journal.sqlite",
                settings=JournalSettings(),
                routes={"engine": engines},
                link=self.link,
                wall=self.wall,
            )

        held.append(
            System(
                SupervisorSpec(
                    children=(
                        ChildSpec("journal", ledger),
                        ChildSpec("replicas", SupervisorSpec(strategy=Strategy.DYNAMIC, intensity=100)),
                        ChildSpec("manager", manager),
                    )
                )
            )
        )
        self.system = held[0]
        self.system.start()
        self.journal = handle("/root/journal")
        self.manager = handle("/root/manager")

    def wall(self):
        return time.time() + self.clock_offset_s

    def allow(self, image):
        """The machine's policy allows one more image from now on."""
        object.__setattr__(self._policy, "images", (*self._policy.images, image))

    def spec(self, **fields):
        given = {"kind": "llamacpp", "image": self.image, "model": ModelSource(uri="hf://org/tiny")}
        given |= {"context_length": 512, "parallel": 1, "cpus": 1.0, "memory_bytes": 512 << 20}
        given |= {"restart": {"backoff_min_s": 0.1, "attempts": 2}}
        return EngineSpec(**(given | fields))

    def send(self, number, command):
        command_id = f"{number:032x}"
        known = signed(number, command)
        self.journal.tell(journal.Accept(known, number, False, self.link))
        return command_id

    def result(self, command_id, timeout_s=WAIT_S):
        def look():
            rows = self.journal.call(journal.ReadOutbox(0, 1_000))
            found = [row.message for row in rows if isinstance(row.message, CommandResult)]
            return next((message for message in found if message.command_id == command_id), None)

        return wait_until(look, timeout_s=timeout_s, what=f"the result of {command_id}")

    def facts(self, name="chat"):
        changes = self.observer.of(EnginesChanged)
        return next((engine for engine in changes[-1].engines if engine.name == name), None) if changes else None

    def wait(self, condition, what, timeout_s=WAIT_S):
        return wait_until(
            lambda: (facts := self.facts()) is not None and condition(facts) and facts, timeout_s=timeout_s, what=what
        )

    def event_list(self):
        return self.journal.call(journal.RecentEvents(200))

    def events(self):
        return [event.kind for event in self.event_list()]

    def close(self, *, remove=True):
        self.system.stop()
        if remove:
            for seen in self.containers.find(self.label):
                self.containers.remove(seen.container_id)
