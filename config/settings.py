"""Everything that this machine is told, as one frozen value."""

from pydantic import Field

from .base import Section
from .log import LogSettings
from .paths import PathsSettings


class Settings(Section):
    """The whole configuration; every section has defaults that are safe to run with."""

    paths: PathsSettings = Field(default_factory=PathsSettings)
    log: LogSettings = Field(default_factory=LogSettings)
