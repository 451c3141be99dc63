"""Looks at what a running master counted and wrote: one refusal is one count and one line, and no secret is in it."""

import json

from tests.bed.processes import wait_until

SECRET = "hf_plantedsecret"


class Audited:
    """Exactly one count more at that door with that code, one line of it, and no secret in the log."""

    def __init__(self, wild, door, code, count=1):
        self.wild, self.word, self.count = wild, f"{door}.{code}", count
        self.door, self.code = door, code

    def _lines(self):
        rows = [json.loads(line) for line in self.wild.log.splitlines() if '"event": "refused"' in line]
        return sum(row["door"] == self.door and row["code"] == self.code for row in rows)

    def __enter__(self):
        self.before, self.lines = self.wild.refused().get(self.word, 0), self._lines()
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            found = wait_until(
                lambda: self.wild.refused().get(self.word, 0) >= self.before + self.count,
                timeout_s=20,
                what=f"{self.word} is counted; {self.wild.refused()}",
            )
            assert found
            assert self.wild.refused()[self.word] == self.before + self.count
            assert self._lines() == self.lines + self.count
        assert SECRET not in self.wild.log
