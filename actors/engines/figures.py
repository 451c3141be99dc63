"""What an engine's metrics page says of its work: requests in flight, and tokens that only grow. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from .kinds.base import Work


@dataclass(frozen=True, slots=True)
class Figures:
    """`requests` run or wait; `tokens` were read or written since its start."""

    requests: float
    tokens: float


def read(page: str | None, work: Work | None) -> Figures | None:
    """The figures; None where the kind has none, or its page lacks them: then nothing may be concluded."""
    if page is None or work is None:
        return None
    sums = dict.fromkeys((*work.requests, *work.tokens), 0.0)
    seen = set()
    for name, value in _samples(page.splitlines()):
        if name in sums:
            sums[name] += value
            seen.add(name)
    if not seen.intersection(work.requests) or not seen.intersection(work.tokens):
        return None
    return Figures(sum(sums[name] for name in work.requests), sum(sums[name] for name in work.tokens))


def _samples(lines: Iterable[str]) -> Iterable[tuple[str, float]]:
    """Name and value of each line of the Prometheus text format; lines that are none are passed over."""
    for line in lines:
        if line.startswith("#"):
            continue
        name, brace, rest = line.partition("{")
        if not brace:
            name, _, rest = line.partition(" ")
        else:
            rest = rest.rpartition("}")[2]
        words = rest.split()
        try:
            yield name.strip(), float(words[0])
        except (IndexError, ValueError):
            continue
