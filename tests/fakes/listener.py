"""A handle that keeps what it is told: stands for any actor that others tell."""

import threading


class Listener:
    """`tell` keeps, `wait` returns the first kept message of a type (and matching a condition) within a deadline."""

    def __init__(self, path: str = "/test/listener") -> None:
        self.path = path
        self.messages: list[object] = []
        self._changed = threading.Condition()

    def tell(self, message: object) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def of(self, kind: type) -> list:
        with self._changed:
            return [message for message in self.messages if isinstance(message, kind)]

    def wait(self, kind: type, condition=lambda _message: True, *, timeout_s: float = 10.0):
        with self._changed:
            found = self._changed.wait_for(lambda: self._first(kind, condition), timeout_s)
        assert found, f"no {kind.__name__} within {timeout_s:g} s; told: {self.messages[-5:]}"
        return self._first(kind, condition)[0]

    def _first(self, kind, condition):
        return [message for message in self.messages if isinstance(message, kind) and condition(message)][:1]
