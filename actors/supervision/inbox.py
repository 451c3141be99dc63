"""pykka's view of our actors, so that a pykka ActorRef works too: tell, ask and stop end up in the cell."""

from typing import TYPE_CHECKING, Any

from pykka import ActorDeadError
from pykka.messages import _ActorStop

from .errors import SupervisionError
from .signals import Stop

if TYPE_CHECKING:
    from pykka._envelope import Envelope as PykkaEnvelope

    from .incarnation import Incarnation


class Ended:
    """pykka's flag that the actor has ended. Nobody waits for it, and an Event takes 0.8 KiB of every actor."""

    __slots__ = ("_set",)

    def __init__(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        """Whether it has ended."""
        return self._set

    def set(self) -> None:
        """It has."""
        self._set = True


class Inbox:
    """What pykka puts here goes to the mailbox of the cell; our loop never takes from here."""

    def __init__(self, incarnation: "Incarnation") -> None:
        self._incarnation = incarnation

    def put(self, envelope: "PykkaEnvelope[Any]", /) -> None:
        """Queue; a stop goes to the system lane. An ask is answered with an error: use a Handle."""
        mailbox = self._incarnation.cell.mailbox
        if isinstance(envelope.message, _ActorStop):
            mailbox.signal(Stop("stopped through pykka"))
            if envelope.reply_to is not None:
                envelope.reply_to.set(None)
            return
        if envelope.reply_to is not None:
            refused = ActorDeadError("asks go through a Handle, which has a deadline")
            envelope.reply_to.set_exception((ActorDeadError, refused, None))
            return
        try:
            mailbox.put(envelope.message)
        except SupervisionError as error:
            raise ActorDeadError(str(error)) from None

    def get(self) -> "PykkaEnvelope[Any]":
        """Not used: the loop takes from the cell's mailbox."""
        raise NotImplementedError

    def empty(self) -> bool:
        """Whether no message of a user waits."""
        return not len(self._incarnation.cell.mailbox)
