"""A flag of the runtime whose time is the test's."""


class Clock:
    """A flag whose time is the test's: waiting takes exactly as long as asked."""

    def __init__(self, until_s):
        self.now_s, self.until_s = 0.0, until_s

    def now(self):
        return self.now_s

    def is_set(self):
        return self.now_s >= self.until_s

    def wait(self, timeout_s):
        self.now_s += max(0.0, timeout_s)
        return self.is_set()
