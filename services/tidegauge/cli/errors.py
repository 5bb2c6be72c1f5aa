"""What can go wrong on the command line.

TidegaugeError
└── CommandError
    ├── MissingExtraError
    ├── LogFileError
    ├── NoOutboxError
    ├── NotFoundError
    ├── NothingNamedError
    └── UnknownPartError
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tidegauge.schemas.errors import TidegaugeError

__all__ = [
    "CommandError",
    "LogFileError",
    "MissingExtraError",
    "NoOutboxError",
    "NotFoundError",
    "NothingNamedError",
    "UnknownPartError",
]


class CommandError(TidegaugeError):
    """A command cannot do what it was asked to."""


class MissingExtraError(CommandError):
    """A command's libraries are not installed."""

    def __init__(self, module: str, missing: str, extra: str) -> None:
        """Name the library and the extra that brings it."""
        super().__init__(
            f"{module} needs {missing}, which is not installed: pip install 'tidegauge[{extra}]'"
        )


class LogFileError(CommandError):
    """A log file cannot be read, or holds no request."""


class NoOutboxError(CommandError):
    """There is no outbox's folder where one was looked for."""

    def __init__(self, folder: Path) -> None:
        """Name the folder."""
        super().__init__(
            f"there is no outbox at {folder.absolute()}: name the folder of the process that "
            "captures by --directory or TIDEGAUGE_CAPTURE_DIRECTORY"
        )


class NotFoundError(CommandError):
    """What was asked for is not in the log, or not any more."""


class NothingNamedError(CommandError):
    """A command is not told what to do it to, or is told twice."""


class UnknownPartError(CommandError):
    """The doctor is to look at a part that there is not."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        """Name the part, and those that there are."""
        super().__init__(f"there is no part {name!r} to look at: name one of {', '.join(known)}")
