"""What can go wrong with supervised processes.

TidegaugeError
└── ProcessError
    ├── ServiceDiedError
    └── NotReadyError
"""

from __future__ import annotations

from pathlib import Path

from tidegauge.schemas.errors import TidegaugeError

__all__ = ["NotReadyError", "ProcessError", "ServiceDiedError"]


class ProcessError(TidegaugeError):
    """A process could not be started or kept running."""


class ServiceDiedError(ProcessError):
    """A process that must keep running has ended."""

    def __init__(self, name: str, status: int, log: Path, tail: str) -> None:
        """Name the process, its status, and show the end of its log."""
        last = f"; its last lines:\n{tail}" if tail else ""
        super().__init__(f"{name} ended with status {status}, its log is {log}{last}")
        self.name = name
        self.status = status


class NotReadyError(ProcessError):
    """A process was not ready within its time."""
