"""A YAML text as plain values with the line of every key: what the parser alone does not keep."""

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from .errors import ConfigFileError

Path = tuple[str, ...]
"""Keys from the root to one value; list items are their index as text."""

DEPTH_MAX = 16
"""Levels; a configuration has four."""
SIZE_MAX_BYTES = 1 << 20
"""Bytes of the whole file."""


@dataclass(frozen=True, slots=True)
class Document:
    """Plain values and, for each path, the line it stands on (counted from 1)."""

    values: dict[str, object]
    lines: Mapping[Path, int]


def parse_document(text: str, file: str) -> Document:
    """Read YAML safely; a duplicate key, an anchor bomb or a non-mapping root raises ConfigFileError."""
    if len(text.encode()) > SIZE_MAX_BYTES:
        raise ConfigFileError(file, None, f"larger than {SIZE_MAX_BYTES} bytes: not a configuration file")
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else None
                raise ConfigFileError(file, line, "aliases (*name) are not allowed here")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark is not None else None
        raise ConfigFileError(file, line, f"not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigFileError(file, None, f"not valid YAML: {error}") from error
    lines: dict[Path, int] = {}
    if root is None:
        return Document({}, lines)
    if not isinstance(root, yaml.MappingNode):
        raise ConfigFileError(file, root.start_mark.line + 1, "the file must be a mapping of sections")
    values = _convert(root, (), lines, file)
    assert isinstance(values, dict)
    return Document(values, lines)


def _convert(node: yaml.Node, path: Path, lines: dict[Path, int], file: str) -> object:
    lines.setdefault(path, node.start_mark.line + 1)
    if len(path) > DEPTH_MAX:
        raise ConfigFileError(file, node.start_mark.line + 1, f"nested deeper than {DEPTH_MAX} levels")
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines, file)
    if isinstance(node, yaml.SequenceNode):
        return [_convert(item, (*path, str(index)), lines, file) for index, item in enumerate(node.value)]
    return _scalar(node, file)


def _mapping(node: yaml.MappingNode, path: Path, lines: dict[Path, int], file: str) -> dict[str, object]:
    result: dict[str, object] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigFileError(file, line, "a key must be a plain word")
        key = key_node.value
        if key in result:
            raise ConfigFileError(file, line, f"the key {key} stands twice; keep one of them")
        lines[*path, key] = line
        result[key] = _convert(value_node, (*path, key), lines, file)
    return result


def _scalar(node: yaml.Node, file: str) -> object:
    loader = yaml.SafeLoader("")
    try:
        value: object = loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigFileError(file, node.start_mark.line + 1, f"not a valid value: {error}") from error
    finally:
        loader.dispose()
    return value
