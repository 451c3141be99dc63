"""What an engine's steps need of its surroundings: Docker, models, ports and looks, each by interface."""

from dataclasses import dataclass

from actors.engines.containers_api import Containers
from actors.engines.functional import Rules
from actors.engines.kinds.base import Machine
from actors.engines.models_api import Models
from actors.engines.ports import Ports
from actors.engines.probe import Prober
from config.engines import EnginesSettings


@dataclass(frozen=True, slots=True)
class World:
    """The same for every engine of this machine."""

    agent_id: str
    containers: Containers
    models: Models
    ports: Ports
    settings: EnginesSettings
    machine: Machine
    prober: Prober

    def endpoint(self, port: int) -> str:
        """Where a published port is reached."""
        return f"http://{self.settings.publish_address}:{port}"

    @property
    def rules(self) -> Rules:
        """How patient the functional probe is."""
        return Rules(self.settings.stall_s, self.settings.canary_s)


class Cancelled(Exception):  # noqa: N818  # an answer to a request, not an error
    """The step was told to end."""
