"""What libraries would load because it happens to be installed, and the daemon never uses: six MiB of memory.

structlog takes rich for colours on a terminal; requests takes charset_normalizer to guess the encoding of text that
names none, and takes UTF-8 where it is absent, which is what Docker speaks.
"""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module

UNUSED = ("rich", "chardet", "charset_normalizer")
TAKERS = ("structlog", "requests")


def load() -> None:
    """Import the takers while the others seem absent; to be called before anything else imports them."""
    with _absent(UNUSED), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # requests says that it cannot guess
        for name in TAKERS:
            import_module(name)


@contextlib.contextmanager
def _absent(names: tuple[str, ...]) -> Iterator[None]:
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the language's own mark for "cannot be imported"
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
