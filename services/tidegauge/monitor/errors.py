"""What goes wrong in the monitor service.

TidegaugeError
└── MonitorError
    ├── BusyError
    ├── ControlError
    └── UnknownReportError
"""

from __future__ import annotations

from tidegauge.schemas.errors import TidegaugeError

__all__ = [
    "BusyError",
    "ControlError",
    "MonitorError",
    "UnknownReportError",
]


class MonitorError(TidegaugeError):
    """The monitor cannot do what it was asked."""


class BusyError(MonitorError):
    """A report is being made already."""


class ControlError(MonitorError):
    """A form asks the monitor for what cannot be done."""


class UnknownReportError(MonitorError):
    """There is no such report, or no longer."""
