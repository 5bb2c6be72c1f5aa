"""What can go wrong on the command line.

TidegaugeError
└── CommandError
    ├── MissingExtraError
    ├── LogFileError
    ├── NoOutboxError
    └── NotFoundError
"""

from __future__ import annotations

from pathlib import Path

from tidegauge.schemas.errors import TidegaugeError

__all__ = ["CommandError", "LogFileError", "MissingExtraError", "NoOutboxError", "NotFoundError"]


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
