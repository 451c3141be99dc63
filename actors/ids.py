"""Names for the strings that identify things, so that one is never passed where another is meant."""

from typing import NewType

CommandId = NewType("CommandId", str)
"""The message id of a command, 32 hexadecimal digits; stable across resends."""

EngineName = NewType("EngineName", str)
"""What an operator calls one serving container; unique on this agent."""

TransferId = NewType("TransferId", str)
"""One download of one model version."""
