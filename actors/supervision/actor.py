"""The base of every actor: a plain object with four hooks, which runs inside its own thread."""

from typing import TYPE_CHECKING

from .errors import DeathPact
from .messages import Terminated

if TYPE_CHECKING:
    from .context import Context


class Actor:
    """Override the hooks. Whatever escapes from them crashes this actor and nobody else."""

    context: "Context"
    """Set before on_start."""

    def on_start(self) -> object | None:
        """Build the state; the result is told to whoever started the child. Raise `Ignore` to decline."""
        return None

    def on_message(self, message: object) -> object | None:
        """Handle one message; the return value answers an ask. Call this one for messages you do not know.

        Raises:
            Refusal: an answer to the asker; the actor lives on.
            DeathPact: the message is a `Terminated` that the actor did not handle.

        """
        if isinstance(message, Terminated):
            raise DeathPact(f"{message.path} ended ({message.kind})")
        self.context.unhandled(message)
        return None

    def on_stop(self, reason: str) -> None:
        """Clean up after the last message of an orderly end."""

    def on_crash(self, cause: BaseException) -> None:
        """Clean up after a crash. The replacement starts when this returns."""
