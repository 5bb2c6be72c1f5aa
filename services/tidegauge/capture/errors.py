"""Errors of capture. They are raised at the start; later failures are counted as drops.

TidegaugeError
└── CaptureError
    ├── CaptureSettingsError
    ├── OutboxUnavailableError
    └── OutboxFormatError
"""

from __future__ import annotations

from tidegauge.schemas.errors import TidegaugeError

__all__ = ["CaptureError", "CaptureSettingsError", "OutboxFormatError", "OutboxUnavailableError"]


class CaptureError(TidegaugeError):
    """Events cannot be captured."""


class CaptureSettingsError(CaptureError):
    """A setting has a value that cannot work.

    Attributes:
        field: The setting's name.
        value: Its value.
        problem: What is allowed, such as ``must be greater than 0``.
    """

    def __init__(self, field: str, value: object, problem: str) -> None:
        """Build the message from the setting's name, its value and what is allowed."""
        super().__init__(f"{field} is {value!r}: it {problem}")
        self.field = field
        self.value = value
        self.problem = problem


class OutboxUnavailableError(CaptureError):
    """The outbox's folder is not writable."""


class OutboxFormatError(CaptureError):
    """A file of the outbox has a format that this version does not know."""
