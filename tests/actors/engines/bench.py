"""The engines' part of the tree on a real Docker Engine: what tests of an engine's life stand on."""

import time
from pathlib import Path

from actors.engines.containers import DockerContainers
from actors.engines.kinds.base import Machine
from actors.engines.kinds.table import known_kinds
from actors.engines.manager.actor import ManagerActor
from actors.engines.ports import Ports
from actors.engines.probe import look
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

    def release(self, holder):
        self.leases.discard(holder)


class Bench:
    """A journal and the engines' part of the tree; everything else only listens."""

    def __init__(self, folder: Path, host: str, image: str, models, label: str, extra_args=()) -> None:
        self.observer, self.link = Listener("/observer"), Listener("/link")
        self.image, self.models, self.label = image, models, label
        self.containers = DockerContainers(EnginesSettings(docker_host=host))
        settings = EnginesSettings(docker_host=host, port_min=19_000, port_max=19_200)
        self.ports = Ports(settings)
        held: list[System] = []

        def handle(path):
            return held[0].handle(path)

        def manager():
            return ManagerActor(
                settings=settings,
                policy=PolicySettings(images=(image, "absent/image:v1"), extra_args=extra_args),
                kinds=known_kinds(),
                containers=self.containers,
                look=look,
                models=models,
                ports=self.ports,
                machine=Machine(2.0, 1 << 34),
                agent_id=label,
                replicas=handle("/root/replicas"),
                replica=lambda name: handle(f"/root/replicas/{name}"),
                journal_handle=handle("/root/journal"),
                observers=(self.observer,),
                wall=time.time,
            )

        def ledger():
            engines = handle("/root/manager")
            return JournalActor(
                file=folder / "journal.sqlite",
                settings=JournalSettings(),
                routes={"engine": engines},
                link=self.link,
                wall=time.time,
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

    def events(self):
        return [event.kind for event in self.journal.call(journal.RecentEvents(100))]

    def close(self, *, remove=True):
        self.system.stop()
        if remove:
            for seen in self.containers.find(self.label):
                self.containers.remove(seen.container_id)
