"""What can go wrong in a use case.

TidegaugeError
└── UseCaseError
    ├── BillError
    ├── EvaluationFileError
    ├── PastRequestsError
    ├── ReplayError
    ├── TimeRangeError
    └── UnexplainedError
"""

from __future__ import annotations

from tidegauge.schemas.errors import TidegaugeError

__all__ = [
    "BillError",
    "EvaluationFileError",
    "PastRequestsError",
    "ReplayError",
    "TimeRangeError",
    "UnexplainedError",
    "UseCaseError",
]


class UseCaseError(TidegaugeError):
    """A use case cannot do what was asked."""


class BillError(UseCaseError):
    """A bill cannot be made of what is there."""


class EvaluationFileError(UseCaseError):
    """A file of examples with known answers cannot be used."""


class PastRequestsError(UseCaseError):
    """Past requests, or the choice of them, do not make a baseline."""


class ReplayError(UseCaseError):
    """A stretch of the past cannot be judged again as asked."""


class TimeRangeError(UseCaseError):
    """A range of time cannot be read, or is empty."""


class UnexplainedError(UseCaseError):
    """A verdict cannot be taken apart by topic."""
