"""Everything that this machine is told, as one frozen value."""

from pydantic import Field

from .api import ApiSettings
from .base import Section
from .downloads import DownloadsSettings
from .engines import EnginesSettings
from .journal import JournalSettings
from .link import LinkSettings
from .log import LogSettings
from .metrics import MetricsSettings
from .paths import PathsSettings
from .policy import PolicySettings
from .supervision import SupervisionSettings


class Settings(Section):
    """The whole configuration; every section has defaults that are safe to run with."""

    paths: PathsSettings = Field(default_factory=PathsSettings)
    link: LinkSettings = Field(default_factory=LinkSettings)
    policy: PolicySettings = Field(default_factory=PolicySettings)
    engines: EnginesSettings = Field(default_factory=EnginesSettings)
    downloads: DownloadsSettings = Field(default_factory=DownloadsSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    journal: JournalSettings = Field(default_factory=JournalSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    supervision: SupervisionSettings = Field(default_factory=SupervisionSettings)
