"""How an incarnation ended, while its exception is alive; turned into text before anyone else sees it."""

import traceback
from dataclasses import dataclass

from .future import why
from .signals import Kind


@dataclass(slots=True)
class Death:
    """`cause` is dropped after on_crash: a live traceback pins frames and everything they hold."""

    kind: Kind
    reason: str
    cause: BaseException | None = None
    traceback: str = ""
    ignored: bool = False

    def forget_cause(self) -> None:
        """Keep the text only."""
        self.cause = None


def death_of(error: BaseException, *, starting: bool) -> Death:
    """Classify what escaped from an actor's code."""
    if isinstance(error, MemoryError):
        kind = Kind.OOM
    elif starting:
        kind = Kind.START_FAILED
    else:
        kind = Kind.CRASH if isinstance(error, Exception) else Kind.FATAL
    return Death(kind, why(error), error, "".join(traceback.format_exception(error)))
