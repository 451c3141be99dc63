"""Reads a Prometheus text page: one pass over its lines, label values with their escapes.

Format 0.0.4: `name{label="value",...} number [timestamp]`; the client library's parser is the oracle of its tests.
"""

from collections.abc import Iterator

ESCAPES = {"n": "\n", "\\": "\\", '"': '"'}
PAGE_MAX_BYTES = 4 << 20

Sample = tuple[str, dict[str, str], float]


def parse(text: str) -> Iterator[Sample]:
    """Every sample of the page; a line that is none is left out."""
    for line in text.splitlines():
        if not line or line[0] == "#":
            continue
        try:
            yield _sample(line)
        except (ValueError, IndexError):
            continue


def _sample(line: str) -> Sample:
    brace = line.find("{")
    if brace < 0:
        name, rest = line.split(None, 1)
        return name, {}, float(rest.split()[0])
    labels, end = _labels(line, brace + 1)
    return line[:brace].strip(), labels, float(line[end:].split(maxsplit=1)[0])


def _labels(line: str, at: int) -> tuple[dict[str, str], int]:
    """Labels from position `at` to behind the closing brace."""
    found: dict[str, str] = {}
    while True:
        while line[at] in ", ":
            at += 1
        if line[at] == "}":
            return found, at + 1
        equals = line.index("=", at)
        name = line[at:equals].strip()
        value, at = _quoted(line, line.index('"', equals) + 1)
        found[name] = value


def _quoted(line: str, at: int) -> tuple[str, int]:
    """The value from behind its opening quote; the position behind its closing one."""
    end = line.index('"', at)
    if "\\" not in line[at:end]:
        return line[at:end], end + 1
    parts: list[str] = []
    while line[at] != '"':
        if line[at] == "\\":
            parts.append(ESCAPES.get(line[at + 1], "\\" + line[at + 1]))
            at += 2
        else:
            parts.append(line[at])
            at += 1
    return "".join(parts), at + 1
