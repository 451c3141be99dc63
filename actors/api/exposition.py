"""The Prometheus page, from the latest snapshot. Pure."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

PREFIX = "mosalama"
LABEL_OF = {"containers": "engine", "engines": "engine", "gpus": "uuid"}
UNSAFE = re.compile(r"[^a-zA-Z0-9_]")


def render(snapshot: Mapping[str, Any]) -> str:
    """Text format 0.0.4: gauges and counters by name, a help line for each family."""
    families: dict[str, list[str]] = {}
    for room in ("host", "agent"):
        for name, value in _numbers(snapshot.get(room, {})):
            families.setdefault(_name(room, name), []).append(f"{_name(room, name)} {value}")
    for room, label in LABEL_OF.items():
        for key, values in snapshot.get(room, {}).items():
            for name, value in _numbers(values):
                family = _name(room.removesuffix("s"), name)
                families.setdefault(family, []).append(f'{family}{{{label}="{_escape(key)}"}} {value}')
    lines: list[str] = []
    for family in sorted(families):
        kind = "counter" if family.endswith("_total") else "gauge"
        lines += [f"# HELP {family} {family.replace('_', ' ')}", f"# TYPE {family} {kind}", *families[family]]
    return "\n".join([*lines, ""])


def _numbers(values: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, bool):
            yield name, int(value)
        elif isinstance(value, (int, float)):
            yield name, value


def _name(room: str, name: str) -> str:
    return UNSAFE.sub("_", f"{PREFIX}_{room}_{name}").strip("_")


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
