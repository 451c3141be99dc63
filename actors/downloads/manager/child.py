"""The child that carries out a wish: what it is made of, and how often it may crash."""

from collections.abc import Callable
from dataclasses import dataclass

from actors.downloads.bodies.api import Bring
from actors.downloads.manager.wishes import Wish
from actors.downloads.store import ModelStore
from actors.downloads.transfer.actor import Resolve, TransferActor
from actors.supervision.handle import Handle
from actors.supervision.messages import ChildReply
from actors.supervision.spec import Backoff, ChildSpec, Limit, Restart
from protocol.messages.reports import Failure

GONE = Failure(code="E_INTERNAL", what="the transfer failed too often", do="look at the log, pull again")
THERE = frozenset({"already_started", "already_present"})


@dataclass(frozen=True, slots=True)
class Maker:
    """What every transfer gets."""

    store: ModelStore
    resolve: Resolve
    bring: Bring

    def spec(self, wish: Wish, manager: Handle) -> ChildSpec:
        """Of a wish that has a place. A crash is resumed at once, five in ten minutes are the end of it."""
        factory, backoff, limit = self._factory(wish, manager), Backoff(max_s=10.0), Limit(5, 600.0)
        return ChildSpec(wish.transfer_id, factory, Restart.TRANSIENT, backoff=backoff, limit=limit)

    def _factory(self, wish: Wish, manager: Handle) -> Callable[[], TransferActor]:
        return lambda: TransferActor(
            transfer_id=wish.transfer_id,
            source=wish.source,
            store=self.store,
            resolve=self.resolve,
            bring=self.bring,
            manager=manager,
            command_id=wish.commands[0],
        )


def not_started(reply: ChildReply) -> Failure | None:
    """Why there is no such child; None when there is."""
    if reply.ok or reply.error in THERE:
        return None
    why = f"{reply.error} {reply.detail}"[:2_000]
    return Failure(code="E_INTERNAL", what="the transfer did not start", why=why)
