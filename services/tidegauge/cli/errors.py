"""What can go wrong on the command line.

TidegaugeError
└── CommandError
    ├── MissingExtraError
    ├── LogFileError
    └── NotFoundError
"""

from __future__ import annotations

from tidegauge.schemas.errors import TidegaugeError

__all__ = ["CommandError", "LogFileError", "MissingExtraError", "NotFoundError"]


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


class NotFoundError(CommandError):
    """What was asked for is not in the log, or not any more."""
