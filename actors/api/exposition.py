"""The Prometheus page, from the latest snapshot: text format 0.0.4, names and units from actors/figures.py. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from actors.figures import PREFIX, REQUEST_RESULTS, ROOMS, Figure, Room

Labels = tuple[tuple[str, str], ...]
RESULTS = Figure("requests_by_result_total", "counter", "requests that ended, by how they did", label="result")


class Page:
    """Families in the order in which they are met; samples of one family stand together, as the format wants."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}

    def put(self, room: Room, figure: Figure, labels: Labels, value: Any) -> None:
        """One sample; a text becomes a label of a figure that is 1, what is not known is left out."""
        if not figure.prometheus:
            return
        if figure.kind == "info":
            labels, value = (*labels, (figure.label, str(value))), 1
        number = _number(value, figure.scale)
        if number is None:
            return
        family = f"{PREFIX}_{room.prometheus}_{figure.prometheus}"
        lines = self._families.get(family)
        if lines is None:
            kind = "counter" if figure.kind == "counter" else "gauge"
            head = [f"# HELP {family} {room.meaning}: {figure.meaning}", f"# TYPE {family} {kind}"]
            lines = self._families[family] = head
        words = ",".join(f'{name}="{_escape(text)}"' for name, text in labels)
        lines.append(f"{family}{{{words}}} {number}" if words else f"{family} {number}")

    def text(self) -> str:
        """The page."""
        return "".join(f"{line}\n" for lines in self._families.values() for line in lines)


def render(snapshot: Mapping[str, Any]) -> str:
    """The whole page of one snapshot, as `rooms` and figures."""
    page = Page()
    for name, room in ROOMS.items():
        subjects = snapshot.get(name) or {}
        for subject, values in subjects.items() if room.label else (("", subjects),):
            labels: Labels = ((room.label, subject),) if room.label else ()
            for figure, more, value in _samples(room, values):
                page.put(room, figure, labels + more, value)
    return page.text()


def _samples(room: Room, values: Mapping[str, Any]) -> Iterator[tuple[Figure, Labels, Any]]:
    for name, value in values.items():
        figure = room.figures.get(name)
        if figure is None and name.startswith(REQUEST_RESULTS):
            result = name.removeprefix(REQUEST_RESULTS).removesuffix("_total")
            yield RESULTS, ((RESULTS.label, result),), value
        elif figure is None:
            continue
        elif isinstance(value, Mapping):
            if figure.label:
                for key, part in value.items():
                    yield figure, ((figure.label, str(key)),), part
        elif value is not None:
            yield figure, (), value


def _number(value: Any, scale: float) -> str | None:
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (int, float)):
        return repr(value if scale == 1.0 else value * scale)
    return None


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
