"""How an incarnation ended, while its exception is alive; turned into text before anyone else sees it."""

import linecache
from dataclasses import dataclass

from .future import why
from .signals import Kind

CAUSES_MAX = 5
"""How many exceptions behind an exception are told."""


@dataclass(slots=True)
class Death:
    """`cause` is dropped after on_crash: a live traceback pins frames and everything they hold."""

    kind: Kind
    reason: str
    cause: BaseException | None = None
    traceback: "Trace | str" = ""
    ignored: bool = False

    def forget_cause(self) -> None:
        """Keep the text only."""
        self.cause = None


@dataclass(frozen=True, slots=True)
class Trace:
    """A traceback that holds no frame: places and the last words, causes first. `str` makes the text of it.

    The library's own text costs three times a whole restart, for its carets; this one is made when it is shown.
    """

    places: tuple[tuple[str, int, str], ...]
    """File, line, function; the innermost call last."""
    words: str
    cause: "Trace | None" = None

    def __str__(self) -> str:
        """The text, as people know it."""
        parts = [str(self.cause), "which led to:\n"] if self.cause is not None else []
        for file, line, name in self.places:
            parts.append(f'  File "{file}", line {line}, in {name}\n')
            source = linecache.getline(file, line).strip()
            if source:
                parts.append(f"    {source}\n")
        return "".join([*parts, self.words, "\n"])


def trace_of(error: BaseException, *, depth: int = 0) -> Trace:
    """The traceback of an exception, without the exception."""
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    cause = trace_of(earlier, depth=depth + 1) if earlier is not None and depth < CAUSES_MAX else None
    places, step = [], error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        places.append((code.co_filename, step.tb_lineno, code.co_qualname))
        step = step.tb_next
    return Trace(tuple(places), why(error), cause)


def death_of(error: BaseException, *, starting: bool) -> Death:
    """Classify what escaped from an actor's code."""
    if isinstance(error, MemoryError):
        kind = Kind.OOM
    elif starting:
        kind = Kind.START_FAILED
    else:
        kind = Kind.CRASH if isinstance(error, Exception) else Kind.FATAL
    return Death(kind, why(error), error, trace_of(error))
