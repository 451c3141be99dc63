"""Why an engine does not run, split by who can mend it.

EngineError
├── RefusedError         the spec asks for what this machine or kind does not allow or cannot do
└── DockerError          Docker did not do what it was asked
    ├── DockerDownError      no answer in time: a state of the machine, not of the engine
    ├── NotFoundError        the container or image is not there
    ├── ImageError           the image cannot be had, and trying again changes nothing
    └── PullError            the image could not be brought this time
"""

from dataclasses import dataclass

from protocol.messages.reports import Failure


@dataclass
class EngineError(Exception):
    """What happened, why, and what a person can do."""

    code: str
    what: str
    why: str = ""
    do: str = ""

    def failure(self) -> Failure:
        """The same for the wire."""
        return Failure(code=self.code, what=self.what[:4_000], why=self.why[:4_000], do=self.do[:4_000])

    def __str__(self) -> str:
        """One line."""
        return ": ".join(part for part in (self.what, self.why) if part)


class RefusedError(EngineError):
    """Not allowed or not possible here; trying again changes nothing."""


class DockerError(EngineError):
    """Docker said no."""


class DockerDownError(DockerError):
    """Docker did not answer in time."""


class NotFoundError(DockerError):
    """What was asked for is not there."""


class ImageError(DockerError):
    """The image cannot be had."""


class PullError(DockerError):
    """The image could not be brought this time: the registry or the disk may be better later."""
