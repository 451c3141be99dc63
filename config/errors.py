"""What can be wrong with a configuration file.

ConfigError
├── ConfigFileError     the file cannot be read or is not YAML
└── ConfigValueError    a key is unknown, missing or has a value that is not allowed
"""

from dataclasses import dataclass, field


class ConfigError(Exception):
    """The configuration cannot be used; nothing was started."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in one place: which key, what it has, what is allowed and the nearest key that is known."""

    file: str
    line: int | None
    key: str
    value: str
    allowed: str
    nearest: str | None = None

    def __str__(self) -> str:
        """One line for a person, with the place first so that editors can jump to it."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        hint = f" (did you mean {self.nearest}?)" if self.nearest else ""
        has = f" is {self.value}" if self.value else ""
        return f"{place}: {self.key}{has}: {self.allowed}{hint}"


@dataclass
class ConfigFileError(ConfigError):
    """The file cannot be read, or its text is not YAML."""

    file: str
    line: int | None
    why: str

    def __str__(self) -> str:
        """Which file, where, why, what to do."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.why}"


@dataclass
class ConfigValueError(ConfigError):
    """Every fault of the file at once, so that a person mends it in one go."""

    problems: tuple[Problem, ...] = field(default=())

    def __str__(self) -> str:
        """One line for each problem."""
        return "\n".join(str(problem) for problem in self.problems)
