"""The model store as the engines see it: an interface, wired in the tree."""

from typing import Protocol

from actors.facts import LocalModel
from protocol.messages.model_source import ModelSource


class Models(Protocol):
    """Thread-safe; a lease keeps a version from being collected."""

    def lease(self, source: ModelSource, holder: str) -> LocalModel | None:
        """The version that the source means, leased to `holder`; None when it is not complete here."""

    def keep(self, source: ModelSource, holder: str) -> LocalModel | None:
        """The version that the holder has already, whatever the source means by now; else as `lease`."""

    def move(self, holder: str, to: str) -> bool:
        """What one holder has, another has from now on; False when it has nothing."""

    def release(self, holder: str) -> bool:
        """The holder needs its version no more; False when it has none."""
