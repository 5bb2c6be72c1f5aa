"""What can go wrong between sketches and verdicts.

TidegaugeError
└── VerdictsError
    ├── RatesBaselineError
    ├── PlanError
    └── MonitorStateError
"""

from __future__ import annotations

from tidegauge.schemas import TidegaugeError

__all__ = ["MonitorStateError", "PlanError", "RatesBaselineError", "VerdictsError"]


class VerdictsError(TidegaugeError):
    """The monitor cannot do its work."""


class RatesBaselineError(VerdictsError):
    """Sketches do not make a baseline of rates, or a document is none."""


class PlanError(VerdictsError):
    """A setting of the monitor cannot be kept."""


class MonitorStateError(VerdictsError):
    """A snapshot of the monitor cannot be restored."""
