"""The errors of monitoring.

TidegaugeError
└── MonitoringError
    ├── RatesBaselineError
    ├── PlanError
    └── MonitorStateError
"""

from __future__ import annotations

from tidegauge.schemas import TidegaugeError

__all__ = ["MonitorStateError", "MonitoringError", "PlanError", "RatesBaselineError"]


class MonitoringError(TidegaugeError):
    """Monitoring failed in a way that tidegauge can explain."""


class RatesBaselineError(MonitoringError):
    """Sketches are too few for a baseline of rates, or a document does not hold one."""


class PlanError(MonitoringError):
    """A setting of the monitor is out of its range."""


class MonitorStateError(MonitoringError):
    """A snapshot of the monitor cannot be restored."""
