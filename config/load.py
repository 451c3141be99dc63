"""File and environment -> Settings, or every fault with its place.

The environment overrides the file: `MOSALAMA_<SECTION>__<KEY>=value`, the value read as YAML
(`MOSALAMA_LOG__LEVEL=debug`). A list is YAML too: `MOSALAMA_LINK__MASTERS=[https://master:7443]`.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError

from .document import Document, Path, parse_document
from .errors import ConfigFileError, ConfigValueError, Problem
from .settings import Settings

ENV_PREFIX = "MOSALAMA_"
ENV_SEPARATOR = "__"
SECRET_WORDS = ("secret", "token", "password", "key")
VALUE_SHOWN_MAX = 80
"""Characters of a wrong value that an error repeats."""


def load_settings(file: str | FilePath | None, environ: Mapping[str, str]) -> Settings:
    """Read one file (None: defaults only) and the overrides; raise ConfigError with all faults."""
    name = "defaults" if file is None else str(file)
    document = Document({}, {}) if file is None else parse_document(_read(FilePath(file)), name)
    values = dict(document.values)
    overrides = _apply_environment(values, environ)
    return _validate(values, document, name, overrides)


def load_text(text: str, name: str = "text") -> Settings:
    """The same for a text that is at hand, without the environment."""
    document = parse_document(text, name)
    return _validate(document.values, document, name, {})


def _read(file: FilePath) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        why = f"cannot be read: {error.strerror}; name another file with --config"
        raise ConfigFileError(str(file), None, why) from error
    except UnicodeDecodeError as error:
        raise ConfigFileError(str(file), None, "is not UTF-8 text") from error


def _apply_environment(values: dict[str, object], environ: Mapping[str, str]) -> dict[Path, str]:
    """Put overrides into `values`; returns which variable set which path."""
    sources: dict[Path, str] = {}
    for variable in sorted(environ):
        if not variable.startswith(ENV_PREFIX) or ENV_SEPARATOR not in variable:
            continue
        path = tuple(part.lower() for part in variable.removeprefix(ENV_PREFIX).split(ENV_SEPARATOR))
        parsed = parse_document(f"value: {environ[variable]}", f"environment {variable}").values["value"]
        target: dict[str, object] = values
        for part in path[:-1]:
            inner = target.get(part)
            inner = dict(inner) if isinstance(inner, dict) else {}
            target[part] = inner
            target = inner
        target[path[-1]] = parsed
        sources[path] = variable
    return sources


def _validate(values: dict[str, object], document: Document, name: str, overrides: Mapping[Path, str]) -> Settings:
    present = {key: value for key, value in values.items() if value is not None}
    try:
        return Settings.model_validate(present)
    except ValidationError as error:
        found = (
            _problem(fault, values, document, name, overrides)
            for fault in error.errors(include_url=False, include_context=True, include_input=False)
        )
        raise ConfigValueError(tuple(found)) from None


def _problem(
    fault: Any, values: Mapping[str, object], document: Document, name: str, overrides: Mapping[Path, str]
) -> Problem:
    path = tuple(str(part) for part in fault["loc"])
    key = ".".join(path)
    variable = overrides.get(path)
    if fault["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        close = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        nearest = ".".join((*path[:-1], close[0])) if close else None
        allowed = "unknown key" if close else f"unknown key; known here: {', '.join(sorted(known))}"
        value = ""
    else:
        nearest, allowed = None, _allowed(fault)
        value = _shown(path, values)
    file = f"environment {variable}" if variable else name
    return Problem(file, None if variable else _line(path, document), key, value, allowed, nearest)


def _allowed(fault: Any) -> str:
    message = str(fault["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _shown(path: Path, values: Mapping[str, object]) -> str:
    """The wrong value, cut short; nothing under a name that smells of a secret is repeated."""
    if any(word in part for part in path for word in SECRET_WORDS):
        return "(not shown)"
    found: object = values
    for part in path:
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return ""
    text = repr(found)
    return text if len(text) <= VALUE_SHOWN_MAX else text[:VALUE_SHOWN_MAX] + "..."


def _line(path: Path, document: Document) -> int | None:
    for length in range(len(path), 0, -1):
        if path[:length] in document.lines:
            return document.lines[path[:length]]
    return None


def _known_keys(path: Path) -> Iterable[str]:
    model: Any = Settings
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return ()
        model = field.annotation
    if isinstance(model, type) and issubclass(model, BaseModel):
        return tuple(model.model_fields)
    return ()
