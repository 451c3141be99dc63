"""Reads a Prometheus text page: one pass over its lines, label values with their escapes.

Format 0.0.4: `name{label="value",...} number [timestamp]`; the client library's parser is the oracle of its tests.
"""

import re
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

ESCAPES = {"n": "\n", "\\": "\\", '"': '"'}
PAGE_MAX_BYTES = 4 << 20

Sample = tuple[str, dict[str, str], float]
_LABEL = re.compile(r'[,\s]*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
NO_LABELS: dict[str, str] = {}


class Page(NamedTuple):
    """A page as it came over the wire: it is read where it lies, since most of it is never looked at."""

    text: bytes
    begin: int
    """Where its first line begins, behind a line's end: of a head, most often."""

    @classmethod
    def of(cls, body: bytes) -> "Page":
        """A page that has nothing before it."""
        return cls(b"\n" + body, 1)

    def body(self) -> bytes:
        """The page alone."""
        return self.text[self.begin :]


class Located(NamedTuple):
    """A sample and where in the page it stands."""

    name: str
    labels: dict[str, str]
    value: float
    line: int
    """Number of its line, from 0."""
    end: int
    """Where in the line its name and labels end."""


def parse(text: str, names: Container[str] | None = None) -> Iterator[Sample]:
    """Every sample of the page, or of those series alone; a line that is none is left out."""
    for line in text.split("\n"):
        if not line or line[0] == "#":
            continue
        brace = line.find("{")
        try:
            if brace < 0:
                name, rest = line.split(None, 1)
                if names is None or name in names:
                    yield name, NO_LABELS, float(rest.split(None, 1)[0])
            else:
                name = line[:brace].rstrip()
                if names is None or name in names:
                    labels, end = _labels(line, brace + 1)
                    yield name, labels, float(line[end:].split(None, 1)[0])
        except (ValueError, IndexError):
            continue


def _labels(line: str, at: int) -> tuple[dict[str, str], int]:
    """Labels from position `at` to behind the closing brace."""
    found: dict[str, str] = {}
    while match := _LABEL.match(line, at):
        name, value = match.groups()
        found[name] = _ESCAPE.sub(_plain, value) if "\\" in value else value
        at = match.end()
    while line[at] in ", \t":
        at += 1
    if line[at] != "}":
        raise ValueError(line)
    return found, at + 1


def _plain(match: re.Match[str]) -> str:
    return ESCAPES.get(match.group(1), match.group(0))


class PageReader:
    """Reads one program's page again and again: the labels of a series are parsed once, its number each time."""

    SERIES_MAX = 10_000
    """Beyond it what is remembered is forgotten: a page whose series come and go."""

    def __init__(self, names: Container[str]) -> None:
        self._names = names
        self._series: dict[str, tuple[str, dict[str, str]]] = {}

    def read(self, text: str) -> list[Sample]:
        """The samples of the wanted series."""
        return [(one.name, one.labels, one.value) for one in self.locate(text.split("\n"))]

    def locate(self, lines: Sequence[str]) -> list[Located]:
        """The same, each with its place."""
        found: list[Located] = []
        names, known = self._names, self._series
        for number, line in enumerate(lines):
            brace = line.find("{")
            name = line[:brace] if brace >= 0 else line.partition(" ")[0]
            if name not in names:
                continue
            end = line.rfind("}") + 1 if brace >= 0 else len(name)
            series = known.get(line[:end])
            try:
                if series is None:
                    series = self._learn(line[:end], name, brace)
                found.append(Located(*series, float(line[end:].split(None, 1)[0]), number, end))
            except (ValueError, IndexError):
                continue
        return found

    def _learn(self, key: str, name: str, brace: int) -> tuple[str, dict[str, str]]:
        if len(self._series) >= self.SERIES_MAX:
            self._series.clear()
        labels = _labels(key, brace + 1)[0] if brace >= 0 else NO_LABELS
        series = self._series[key] = (name, labels)
        return series
