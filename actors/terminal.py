"""What others wrote, shown on a terminal: an engine, a hub or a model's name may hold anything. Pure.

Control characters could move the cursor, set the window's title or hide a line; marks of direction turn a line around.
Each is shown as what it is. Words in brackets are no styles either: a chat template may well say [/INST].
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

KEPT = "\n\t"
DIRECTION = (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
STEERING = {
    code: chr(code).encode("unicode_escape").decode()
    for code in (*range(32), *range(127, 160), 0x2028, 0x2029, *DIRECTION)
}
"""Code point -> how it is shown."""
OF_TEXT = {code: shown for code, shown in STEERING.items() if chr(code) not in KEPT}


def tame(value: Any, table: Mapping[int, str] = OF_TEXT) -> Any:
    """The same, harmless: every text in it, at any depth. Mappings become dicts, sequences lists.

    `table`: OF_TEXT leaves ends of lines and tabs as they are, STEERING shows them too.
    """
    if isinstance(value, str):
        return value.translate(table)
    if isinstance(value, Mapping):
        return {tame(key, table): tame(inner, table) for key, inner in value.items()}
    return [tame(inner, table) for inner in value] if isinstance(value, (list, tuple)) else value


def screen(*, stderr: bool = False) -> "Console":
    """Where tables go: no text is read as a style."""
    from rich.console import Console  # noqa: PLC0415  # slow to import: only when something is shown

    return Console(stderr=stderr, markup=False, emoji=False)
