"""The one exception of the test bed."""


class BedError(Exception):
    """Something the bed needs is missing or did not come up: what, why, and what to do about it."""

    def __init__(self, what: str, why: str, do: str) -> None:
        super().__init__(f"{what}: {why}\n  what to do: {do}")
        self.what, self.why, self.do = what, why, do
