"""Where every actor is in the tree."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paths:
    """Where everybody is."""

    journal: str = "/root/journal"
    engines: str = "/root/engines/manager"
    replicas: str = "/root/engines/replicas"
    downloads: str = "/root/downloads/manager"
    transfers: str = "/root/downloads/transfers"
    metrics: str = "/root/metrics/sampler"
    alerts: str = "/root/metrics/alerts"
    link: str = "/root/link"
    api: str = "/root/aux/api"
    engine_logs: str = "/root/aux/engine-logs"


PATHS = Paths()
