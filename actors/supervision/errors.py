"""What can go wrong between actors. `Refusal` is for the asker; everything else says who failed and why."""


class SupervisionError(Exception):
    """The root of this room's errors."""


class SpecError(SupervisionError, ValueError):
    """A child or supervisor specification that must not start: whose, which field, why."""

    def __init__(self, who: str, field: str, why: str) -> None:
        super().__init__(f"{who}: {field}: {why}")
        self.who, self.field, self.why = who, field, why


class Refusal(SupervisionError):  # noqa: N818  # it is an answer, not an error of this room
    """Raised in on_message: becomes the asker's exception, and the actor lives on."""


class Ignore(SupervisionError):  # noqa: N818  # a decision of the actor, named as in OTP
    """Raised in on_start: this actor declines to run; its spec is kept, no thread stays."""


class DeathPact(SupervisionError):  # noqa: N818  # a word of the field
    """A watched actor ended, and the watcher does not handle `Terminated`."""


class ActorError(SupervisionError):
    """Something about the actor at `path`."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


class MailboxFull(ActorError):  # noqa: N818  # the contract's name
    """The actor has as many waiting messages as its spec allows; try later or slow down."""


class ActorStopped(ActorError):  # noqa: N818  # the contract's name
    """The actor is not running and no restart is planned."""


class ActorCrashed(ActorError):  # noqa: N818  # the contract's name
    """The actor crashed on this message; `why` is the cause as text, so that no frame is kept alive."""


class ActorRestarting(ActorError):  # noqa: N818  # the contract's name
    """The actor is being restarted, and its mailbox does not keep messages meanwhile."""


class ActorHung(ActorError):  # noqa: N818  # the contract's name
    """The actor did not come back from this message and was replaced."""


class AskTimeout(ActorError):  # noqa: N818  # the contract's name
    """No answer in time. The work may still be done: retry only with an idempotent command."""


class AskCycle(ActorError):  # noqa: N818  # the contract's name
    """This ask would wait for an actor that waits for the asker."""


class Fenced(ActorError):  # noqa: N818  # a word of the field
    """This incarnation was replaced: it may have no further effect."""


class StartFailed(SupervisionError):  # noqa: N818  # the contract's name
    """The tree did not come up: `id` is the child that failed, `cause` why, as text."""

    def __init__(self, id: str, cause: str) -> None:  # noqa: A002  # the word of the child spec
        super().__init__(f"{id} did not start: {cause}")
        self.id, self.cause = id, cause
