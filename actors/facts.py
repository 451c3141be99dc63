"""What rooms tell each other: frozen facts that no room owns, so that siblings never import each other."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """One serving container as its actor sees it; `endpoint` is `http://127.0.0.1:PORT` once published."""

    name: str
    kind: str
    state: str
    image: str = ""
    model: str = ""
    generation: int = 0
    container_id: str | None = None
    pid: int | None = None
    endpoint: str | None = None
    metrics_url: str | None = None
    gpus: tuple[str, ...] = ()
    restarts: int = 0
    ready_since: float | None = None
    """Seconds since the epoch."""
    why: str = ""
    """Why it is in this state, in plain words."""
    next_try_at: float | None = None
    """Seconds since the epoch of the next restart, when one is planned."""
    attempts: tuple[str, ...] = field(default=())
    """What was tried, oldest first, one line each."""
    cause: str = ""
    """Name of the cause of its latest end, such as `host_out_of_memory`."""


@dataclass(frozen=True, slots=True)
class EnginesChanged:
    """The whole set of engines, told to every observer after each change."""

    engines: tuple[EngineFacts, ...]


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """One alert that is on; times are seconds since the epoch."""

    fingerprint: str
    rule: str
    severity: str
    subject: str
    labels: tuple[tuple[str, str], ...]
    starts_at: float
    value: float | None
    text: str
    do: str
    count: int = 0
    """Occurrences, of an alert about events."""
    flapping: bool = False
    stale: bool = False
    """What it is about is not known now, so it cannot end."""
    follows_from: str = ""
    """The rule that is its cause; while that fires this one is not told."""


@dataclass(frozen=True, slots=True)
class AlertsChanged:
    """Every alert that is on, told to every observer after each change."""

    alerts: tuple[AlertFacts, ...]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One complete, verified version in the store."""

    model: str
    revision: str
    path: str
    size_bytes: int
    current: bool = False
    pinned: bool = False
    leases: int = 0
    last_used_at: float | None = None
    """Seconds since the epoch, like the others."""
    source: str = ""
    files: int = 0
    holders: tuple[str, ...] = ()
    """Engines that have leased it."""
    verified_at: float | None = None
    damaged: tuple[str, ...] = ()
    """Files that were found wrong; nobody gets the version until a pull mends it."""


@dataclass(frozen=True, slots=True)
class ModelsChanged:
    """The whole content of the store, told to every observer after each change."""

    models: tuple[ModelFacts, ...]


@dataclass(frozen=True, slots=True)
class TransferFacts:
    """One running download; `rate_bytes_s` and `eta_s` are None until they mean something."""

    transfer_id: str
    model: str
    revision: str
    state: str
    done_bytes: int
    total_bytes: int
    """0 while nobody knows it."""
    rate_bytes_s: float | None = None
    eta_s: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class TransfersChanged:
    """Every running download, told to every observer after each change."""

    transfers: tuple[TransferFacts, ...]


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The conversation with the master; being disconnected is a state, not a failure."""

    state: str
    """One of unenrolled, enrolling, connecting, connected, waiting, deregistered."""
    master: str | None = None
    agent_id: str | None = None
    since: float | None = None
    """Seconds since the epoch."""
    last_error: str = ""
    next_try_at: float | None = None
    clock_skew_ms: int | None = None
    refused: tuple[tuple[str, int], ...] = ()
    """Code and how often something of the master was refused, since this process began."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A complete, verified version on this machine, leased to whoever asked."""

    model: str
    revision: str
    directory: str
    files: tuple[str, ...]
    size_bytes: int
