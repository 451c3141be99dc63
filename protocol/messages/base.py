"""The base of every message: frozen, strict, with no unknown field."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

NAME_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?\Z"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=63)]
"""What an operator calls an engine: lower case, digits, dot, dash, underscore; 63 characters."""
Text = Annotated[str, StringConstraints(max_length=4_096)]
ShortText = Annotated[str, StringConstraints(max_length=256)]
Generation = Annotated[int, Field(ge=0, lt=1 << 63)]
Milliseconds = Annotated[int, Field(ge=0, lt=1 << 63)]
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
Scalar = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | float | bool | ShortText | None
"""A figure of a report: absent is None and never 0."""
CommandIdText = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}\Z")]


class Part(BaseModel):
    """A part of a message."""

    # The default pattern engine compiles every pattern anew for each model that holds it: 27 MiB in an idle daemon.
    # Python's own takes `$` for before a last newline too, so every pattern of this room ends with \Z instead.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
        regex_engine="python-re",
    )


class Message(Part):
    """A message with its word on the wire."""

    TYPE: ClassVar[str]


class Command(Message):
    """A message by which the master changes or asks something; signed by the command key as well."""
