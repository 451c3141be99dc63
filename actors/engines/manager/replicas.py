"""The engines' actors: begun, told what is commanded, taken away, and begun anew when they were given up.

What an actor was told is held here until it is answered: when the actor is given up, that is its command's end, with
the reason. What could not be told lies in the journal, which brings it again as soon as there is an actor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from actors.engines import messages as say
from actors.engines.errors import RefusedError
from actors.journal import messages as journal
from actors.supervision.actor import Actor
from actors.supervision.context import Context
from actors.supervision.errors import ActorStopped, MailboxFull
from actors.supervision.handle import Handle
from actors.supervision.messages import ChildReply, RestartChild, StartChild, StopChild, Terminated
from actors.supervision.spec import Backoff, ChildSpec, Limit
from actors.supervision.timers import Timer
from protocol.messages.reports import Failure

RETRY_S = 60.0
"""Until an actor that was given up is begun anew; a command for its engine begins it at once."""
START_S = 30.0
BACKOFF = Backoff(max_s=30.0)
LIMIT = Limit(10, 600.0)
COMING = frozenset({"already_started", "running", "restarting"})
"""What a supervisor answers when the actor is there, or comes by itself."""

Make = Callable[[say.Wanted], Callable[[], Actor]]


@dataclass(frozen=True, slots=True)
class Anew:
    """To the manager itself: begin this engine's actor anew."""

    name: str


class Replicas:
    """`wanted` is the manager's own table; `handle(name)` is the handle of that engine's actor.

    `unattended(name, why)` is called when an engine has no actor for a while.
    """

    def __init__(
        self,
        context: Context,
        supervisor: Handle,
        handle: Callable[[str], Handle],
        journal_handle: Handle,
        wanted: Mapping[str, say.Wanted],
        make: Make,
        unattended: Callable[[str, str], None],
    ) -> None:
        self._context, self._supervisor, self._handle = context, supervisor, handle
        self._journal, self._wanted, self._make, self._unattended = journal_handle, wanted, make, unattended
        self.leaving: set[str] = set()
        """Engines whose actors are being taken away: a new one begins after that."""
        self._held: dict[str, dict[str, None]] = {}
        """The commands that each engine has not answered, oldest first."""
        self._untold: set[str] = set()
        """Engines with a command that could not be told."""
        self._given_up: dict[str, Timer] = {}
        self._log = structlog.get_logger().bind(actor="engines")

    # -- its life --------------------------------------------------------------------------------------------

    def begin(self, name: str) -> None:
        """Start the actor of a wanted engine; `replied` follows."""
        if name in self.leaving:
            return  # its supervisor's answer begins it
        wanted = self._wanted[name]
        if wanted.command_id:
            self._hold(name, wanted.command_id)
        spec = ChildSpec(name, self._make(wanted), start_timeout_s=START_S, backoff=BACKOFF, limit=LIMIT)
        self._supervisor.tell(StartChild(spec, self._context.handle))

    def leave(self, name: str) -> None:
        """Take the actor away; its engine has ended."""
        self.leaving.add(name)
        self._forget_retry(name)
        self._supervisor.tell(StopChild(name, self._context.handle))

    def anew(self, name: str) -> None:
        """Begin an actor that was given up; its mailbox is the one that everybody knows."""
        if self._forget_retry(name) and name in self._wanted and name not in self.leaving:
            self._supervisor.tell(RestartChild(name, self._context.handle))

    def replied(self, reply: ChildReply) -> None:
        """Take a supervisor's answer."""
        name = reply.id
        if reply.request == "stop":
            self._left(name)
        elif name in self.leaving or name not in self._wanted:
            pass  # the answer about its end follows
        elif reply.ok:
            self._runs(name)
        elif reply.error in COMING:
            self._runs(name)
            self.hint(name, say.Become(self._wanted[name]))
        elif reply.error == "already_present":
            self._supervisor.tell(RestartChild(name, self._context.handle))
        elif reply.error == "not_found":
            self.begin(name)
        else:
            self._lost(name, f"it did not start: {reply.error} {reply.detail}"[:2_000])

    def ended(self, notice: Terminated) -> None:
        """An actor has ended for good: as was asked, or since its supervisor gave it up."""
        name = notice.path.rpartition("/")[2]
        if name in self._wanted and name not in self.leaving:
            self._lost(name, f"it failed too often; the last time: {notice.reason or notice.kind}"[:2_000])

    def _left(self, name: str) -> None:
        self.leaving.discard(name)
        told_too_late = self._held.pop(name, None)
        if name in self._wanted:
            self.begin(name)
        if told_too_late:
            self._journal.tell(journal.Again("engine"))

    def _runs(self, name: str) -> None:
        self._context.watch(self._handle(name))
        if name in self._untold:
            self._untold.discard(name)
            self._journal.tell(journal.Again("engine"))

    def _lost(self, name: str, why: str) -> None:
        failure = Failure(code="E_INTERNAL", what=f"the actor of engine {name} was given up", why=why)
        for command_id in self._held.pop(name, ()):
            self._journal.tell(journal.Outcome(command_id, "failed", failure))
        self._untold.discard(name)
        next_try = f"a new one takes it over in {RETRY_S:.0f} s, or with the next command for this engine"
        text = f"its actor was given up, its container is left as it is; {next_try}: {why}"
        fields = {"next_try_s": RETRY_S}
        self._journal.tell(journal.Emit("engine.actor_gave_up", "critical", f"engine/{name}", text[:2_000], fields))
        self._unattended(name, text)
        self._forget_retry(name)
        self._given_up[name] = self._context.after(RETRY_S, Anew(name))

    def _forget_retry(self, name: str) -> bool:
        timer = self._given_up.pop(name, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    # -- telling ---------------------------------------------------------------------------------------------

    def command(self, name: str, command_id: str, message: object) -> None:
        """Pass a command on; one whose actor was given up begins it anew.

        Raises:
            RefusedError: the actor has too much to do.

        """
        self._hold(name, command_id)
        try:
            self._handle(name).tell(message)
        except MailboxFull as error:
            self.answered(name, command_id)
            what = f"the actor of engine {name} has too much to do"
            raise RefusedError("E_BUSY", what, error.why, "send it again in a minute") from None
        except ActorStopped:
            self._untold.add(name)
            self.anew(name)

    def hint(self, name: str, message: object) -> None:
        """Pass on what an actor would find by itself; one that takes nothing now does so when it begins."""
        try:
            self._handle(name).tell(message)
        except (ActorStopped, MailboxFull) as error:
            self._log.debug("not_told", to=name, why=str(error))

    def answered(self, name: str, command_id: str) -> None:
        """This command has its end."""
        held = self._held.get(name)
        if held is not None:
            held.pop(command_id, None)

    def _hold(self, name: str, command_id: str) -> None:
        self._held.setdefault(name, {})[command_id] = None
