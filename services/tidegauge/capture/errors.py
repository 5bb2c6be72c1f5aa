"""What can go wrong while starting to capture; afterwards nothing is raised, but counted.

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
    """A setting has a value that cannot work."""


class OutboxUnavailableError(CaptureError):
    """The outbox's folder cannot be written."""


class OutboxFormatError(CaptureError):
    """A file of the outbox was written in a form that this version does not know."""
