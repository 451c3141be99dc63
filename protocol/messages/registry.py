"""The closed table of words and classes: what is not in it is refused by name.

The word is the discriminator, so that one lookup finds the one model that validates: no union is ever tried in turn.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from protocol.errors import Code, ProtocolError

from .base import Message, Part
from .commands import COMMANDS
from .control import BOTH_WAYS, HANDSHAKE, TO_AGENT, TO_MASTER
from .reports import REPORTS


def _table(*families: tuple[type[Message], ...]) -> Mapping[str, type[Message]]:
    return MappingProxyType({model.TYPE: model for family in families for model in family})


COMMAND_TABLE = _table(COMMANDS)
"""Inside a command's signature."""
AGENT_TABLE = _table(BOTH_WAYS, TO_MASTER, REPORTS)
"""What a master takes from an agent."""
MASTER_TABLE = _table(BOTH_WAYS, TO_AGENT)
"""What an agent takes from a master."""
HANDSHAKE_TABLE = _table(HANDSHAKE)
ALL = _table(COMMANDS, BOTH_WAYS, TO_AGENT, TO_MASTER, REPORTS, HANDSHAKE)


def parse(table: Mapping[str, type[Message]], word: str, payload: Any) -> Message:
    """The message of that word, validated; ProtocolError names the word or the field, never the input."""
    model = table.get(word)
    if model is None:
        raise ProtocolError(Code.UNKNOWN_OP, "no such message here")
    if not isinstance(payload, dict):
        raise ProtocolError(Code.SCHEMA, "the payload is not a map")
    try:
        return model.__pydantic_validator__.validate_python(payload)  # type: ignore[no-any-return]
    except ValidationError as error:
        raise _refusal(model, error) from None


def dump(message: Message) -> dict[str, Any]:
    """The payload of a message: plain values, defaults included so that the reader needs no second table."""
    plain: dict[str, Any] = message.__pydantic_serializer__.to_python(message)
    return plain


def _field_names(part: type[Part]) -> frozenset[str]:
    return frozenset(part.model_fields).union(*(_field_names(child) for child in part.__subclasses__()))


_FIELD_NAMES = _field_names(Part)


def _ours(part: int | str) -> str:
    """A step of the path to a fault; the key of a map is input and may be a secret, so it is a star."""
    return str(part) if isinstance(part, int) or part in _FIELD_NAMES else "*"


def _refusal(model: type[Message], error: ValidationError) -> ProtocolError:
    fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
    known = [_ours(part) for part in fault["loc"]]
    if fault["type"] == "extra_forbidden":
        # The name of an unknown field is input; the path to it is ours.
        return ProtocolError(Code.UNKNOWN_FIELD, "a field that is not known", ".".join([model.TYPE, *known[:-1]]))
    return ProtocolError(Code.SCHEMA, str(fault["msg"])[:200], ".".join([model.TYPE, *known[:6]]))
