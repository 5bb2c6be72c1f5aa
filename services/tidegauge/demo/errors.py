"""What can go wrong in the demonstration.

TidegaugeError
└── DemoError
    ├── MissingPartError
    ├── PromptsError
    ├── ServiceDiedError
    └── NotReadyError
"""

from __future__ import annotations

from pathlib import Path

from tidegauge.schemas.errors import TidegaugeError

__all__ = ["DemoError", "MissingPartError", "NotReadyError", "PromptsError", "ServiceDiedError"]


class DemoError(TidegaugeError):
    """The demonstration cannot go on."""


class MissingPartError(DemoError):
    """An embedded part does not run on this machine."""

    def __init__(self, part: str, why: str, variable: str) -> None:
        """Name the part, why it is missing, and the variable that replaces it."""
        super().__init__(f"{part} is not available here ({why}): set {variable} to one of yours")
        self.part = part
        self.variable = variable


class PromptsError(DemoError):
    """A file of prompts cannot be used."""


class ServiceDiedError(DemoError):
    """A process that must keep running has ended."""

    def __init__(self, name: str, status: int, log: Path, tail: str) -> None:
        """Name the process, its status, and show the end of its log."""
        last = f"; its last lines:\n{tail}" if tail else ""
        super().__init__(f"{name} ended with status {status}, its log is {log}{last}")
        self.name = name
        self.status = status


class NotReadyError(DemoError):
    """Something that was waited for did not come."""
