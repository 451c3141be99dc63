"""What surrounds a message on its way, when it needs more than itself. A plain tell travels bare."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .future import Future
    from .incarnation import Incarnation


class Token:
    """Something that was promised to an actor and may be taken back: a timer, a task, a watch."""

    __slots__ = ("live",)

    def __init__(self) -> None:
        self.live = True


class Envelope:
    """A message with its future (an ask), its age, or its count of crashes. `at` is monotonic seconds."""

    __slots__ = ("at", "crashes", "future", "message")

    def __init__(self, message: object, future: "Future | None", at: float) -> None:
        self.message, self.future, self.at = message, future, at
        self.crashes = 0


class Posted:
    """A message that the machinery owes one incarnation; void for any other, and when its token is."""

    __slots__ = ("incarnation", "message", "token")

    def __init__(self, message: object, incarnation: "Incarnation", token: Token) -> None:
        self.message, self.incarnation, self.token = message, incarnation, token


def content(item: object) -> object:
    """The message inside."""
    return item.message if isinstance(item, Envelope | Posted) else item
