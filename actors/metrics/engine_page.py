"""One engine's metrics page, read again and again: to the schema's figures and the histograms. Pure.

An engine writes the same lines in the same order each time, and between two looks most do not even change. So what
each wanted series counts for is learned once, block by block of lines that stand together; afterwards a block is found
by its first line, and read only when it is another than at the last look. The rest of the page is never touched. A
page with more or fewer lines is learned anew, and every page after so many looks: a series that took the place of one
that nobody wants would not show otherwise. Lines are counted only on a page of another length: to count them costs more
than to read what changed of a quiet engine. It is read as the bytes that came: to copy and decode all of it would cost
several times what is done with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from . import engine_schema
from .engine_latency import FIELDS as HISTOGRAMS
from .engine_latency import SERIES, Buckets, edge_of
from .engine_schema import RESULT_LABELS, Rule, first_rank
from .exposition import Located, Page, PageReader

LEARN_EVERY = 60
"""Pages; five minutes at the default pace. To learn one takes 2 ms, to read it 0.02."""
ENDS = (b"\n", b"")
Rows = list[int]


@dataclass(slots=True)
class _Histogram:
    """The rows of one histogram, by edge, and what they said last."""

    rows: dict[float, Rows] = field(default_factory=dict)
    latest: Buckets = field(default_factory=dict)
    changed: bool = True

    def buckets(self, values: Sequence[float]) -> Buckets:
        """The same object as long as nothing changed."""
        if self.changed:
            self.changed = False
            self.latest = {edge: _sum(values, rows) for edge, rows in self.rows.items()}
        return self.latest


@dataclass(slots=True)
class _Block:
    """Rows whose lines follow each other."""

    first: int
    key: bytes
    """A line's end and what the first line begins with, up to its number."""
    lines: list[bytes]
    ends: list[int]
    """Where in each line the number begins."""
    text: bytes = b""
    """Its lines as they stood last."""
    gap: int = 0
    """Bytes from the end of the block before to where it was found last: it most often is there again."""


class EnginePage:
    """One engine's page; `fields` as `engine_schema.fields_with` gives them. One thread calls it."""

    def __init__(self, fields: Mapping[str, tuple[Rule, tuple[str, ...]]]) -> None:
        self._fields = fields
        self._reader = PageReader(engine_schema.names_of(fields) | SERIES)
        self._count = self._length = self._uses = 0
        self._blocks: list[_Block] = []
        self._values: list[float] = []
        self._owners: list[_Histogram | None] = []
        self._figures: dict[str, tuple[Rule, Rows]] = {}
        self._histograms: dict[str, _Histogram] = {}

    def read(self, page: Page) -> tuple[dict[str, float], dict[str, Buckets]]:
        """What `engine_schema.read_page` and `engine_latency.read_buckets` say of it."""
        if self._uses >= LEARN_EVERY or not self._as_long(page) or not self._same(page.text, page.begin - 1):
            self._learn(page.text[page.begin - 1 :].split(b"\n"))
            self._length = len(page.text) - page.begin
        self._uses += 1
        values = self._values
        figures = {
            name: max(values[row] for row in rows) if rule == "max" else _sum(values, rows)
            for name, (rule, rows) in self._figures.items()
        }
        return figures, {name: one.buckets(values) for name, one in self._histograms.items()}

    def _as_long(self, page: Page) -> bool:
        """Whether it has as many lines as the page that was learned."""
        length = len(page.text) - page.begin
        if length != self._length:
            if page.text.count(b"\n", page.begin - 1) != self._count:
                return False
            self._length = length
        return True

    def _same(self, text: bytes, at: int) -> bool:
        """Take the numbers of a page of the known form, from the line's end at `at` on; False when it has another."""
        for block in self._blocks:
            if not text.startswith(block.key, at + block.gap):
                block.gap = text.find(block.key, at) - at
                if block.gap < 0:
                    return False
            at += block.gap + 1
            after = at + len(block.text)
            if not (text.startswith(block.text, at) and text[after : after + 1] in ENDS):
                end = text.find(b"\n#", at)
                if not self._changed(block, text[at : end if end >= 0 else len(text)].split(b"\n")):
                    return False
            at += len(block.text)
        return True

    def _changed(self, block: _Block, lines: list[bytes]) -> bool:
        """Read what is other than before; False when these are not its lines. More may follow them."""
        values, owners = self._values, self._owners
        count = len(block.lines)
        if len(lines) < count:
            return False
        for row, (line, before, end) in enumerate(zip(lines, block.lines, block.ends, strict=False), block.first):
            if line == before:
                continue
            try:
                if line[:end] != before[:end]:
                    return False
                values[row] = float(line[end:].split(None, 1)[0])
            except (ValueError, IndexError):
                return False
            owner = owners[row]
            if owner is not None:
                owner.changed = True
        block.lines = lines[:count]
        block.text = b"\n".join(block.lines)
        return True

    # -- learning --------------------------------------------------------------------------------------------

    def _learn(self, raw: Sequence[bytes]) -> None:
        self._count = self._length = self._uses = 0  # until all of it is learned nothing is
        lines = [line.decode(errors="replace") for line in raw]
        located = [one for one in self._reader.locate(lines) if first_rank(one.labels)]
        self._blocks = _blocks(raw, lines, located)
        self._values = [one.value for one in located]
        series: dict[str, Rows] = {}
        for row, one in enumerate(located):
            series.setdefault(one.name, []).append(row)
        self._figures = self._learned_figures(series, located)
        self._histograms = _learned_histograms(series, located)
        self._owners = [None] * len(located)
        for histogram in self._histograms.values():
            for row in (row for rows in histogram.rows.values() for row in rows):
                self._owners[row] = histogram
        self._count = len(lines) - 1

    def _learned_figures(self, series: Mapping[str, Rows], located: Sequence[Located]) -> dict[str, tuple[Rule, Rows]]:
        found: dict[str, tuple[Rule, Rows]] = {}
        for figure, (rule, candidates) in self._fields.items():
            name = next((name for name in candidates if name in series), None)
            if name is not None:
                found[figure] = (rule, series[name])
        for name, label in RESULT_LABELS.items():
            for row in series.get(name, ()):
                result = f"requests.{located[row].labels.get(label, 'other')}_total"
                found.setdefault(result, ("sum", []))[1].append(row)
        return found


def _blocks(raw: Sequence[bytes], lines: Sequence[str], located: Sequence[Located]) -> list[_Block]:
    found: list[_Block] = []
    expected = -1
    for row, one in enumerate(located):
        line, text = raw[one.line], lines[one.line]
        end = one.end if text[one.end - 1] == "}" else one.end + 1  # a bare name ends with what follows it
        end = len(line) - len(text[end:].encode())  # in bytes: of a number, which alone is behind it
        if one.line != expected:
            found.append(_Block(row, b"\n" + line[:end], [], []))
        found[-1].lines.append(line)
        found[-1].ends.append(end)
        expected = one.line + 1
    for block in found:
        block.text = b"\n".join(block.lines)
    return found


def _learned_histograms(series: Mapping[str, Rows], located: Sequence[Located]) -> dict[str, _Histogram]:
    found: dict[str, _Histogram] = {}
    for figure, names in HISTOGRAMS.items():
        name = next((name for name in names if f"{name}_bucket" in series or f"{name}_sum" in series), None)
        if name is not None:
            histogram = found[figure] = _Histogram()
            for row in sorted((*series.get(f"{name}_bucket", ()), *series.get(f"{name}_sum", ()))):
                histogram.rows.setdefault(edge_of(located[row].name, located[row].labels), []).append(row)
    return found


def _sum(values: Sequence[float], rows: Rows) -> float:
    return values[rows[0]] if len(rows) == 1 else sum(values[row] for row in rows)
