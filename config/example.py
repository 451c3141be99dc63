"""The commented example file, written from the settings themselves so that it cannot drift.

`python -m config.example` prints it; a test checks that the shipped file equals it and loads to the defaults.
"""

import textwrap
from collections.abc import Iterator
from enum import Enum
from typing import Any

import yaml
from pydantic import BaseModel

from .settings import Settings

WIDTH = 100
HEADER = """\
# MosalamaAgent: what this machine is told.
# Every key is shown with its default; a line that is commented out changes nothing.
# Check a change before you use it: mosalamaagent check-config --config FILE
# A variable of the environment overrides a key: MOSALAMA_LOG__LEVEL=debug
"""


def example_text() -> str:
    """The whole file: each section, each key with its meaning and default."""
    parts = [HEADER]
    for name, field in Settings.model_fields.items():
        section = field.get_default(call_default_factory=True)
        title = (type(section).__doc__ or "").strip().splitlines()[0]
        parts.append(f"# {title}\n{name}:\n" + "".join(_section(section, 1)))
    return "\n".join(parts)


def _section(section: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if field.description:
            text = textwrap.wrap(field.description, WIDTH - len(indent) - 2)
            yield "".join(f"{indent}# {line}\n" for line in text)
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:\n"
            yield from _section(value, depth + 1)
        else:
            yield f"{indent}{name}: {_scalar(value)}\n"


def _scalar(value: object) -> str:
    plain = _plain(value)
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000, allow_unicode=True).strip()
    return text.removesuffix("...").strip()


def _plain(value: object) -> Any:
    if isinstance(value, BaseModel):
        return {key: _plain(inner) for key, inner in value.model_dump().items()}
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list, set, frozenset)):
        return [_plain(inner) for inner in value]
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)


if __name__ == "__main__":
    print(example_text(), end="")  # noqa: T201  # this module's one purpose as a program
