"""What can go wrong in a use case.

TidegaugeError
└── UseCaseError
    ├── AcceptanceError
    ├── BillError
    ├── EvaluationFileError
    ├── PastRequestsError
    ├── ReplayError
    ├── ShortBaselineError
    ├── TimeRangeError
    ├── UnexplainedError
    └── UnfinishedSearchError
"""

from __future__ import annotations

from tidegauge.schemas.errors import TidegaugeError

__all__ = [
    "AcceptanceError",
    "BillError",
    "EvaluationFileError",
    "PastRequestsError",
    "ReplayError",
    "ShortBaselineError",
    "TimeRangeError",
    "UnexplainedError",
    "UnfinishedSearchError",
    "UseCaseError",
]


class UseCaseError(TidegaugeError):
    """A use case cannot do what was asked."""


class AcceptanceError(UseCaseError):
    """A change cannot be declared normal, or not yet."""


class BillError(UseCaseError):
    """A bill cannot be made of what is there."""


class EvaluationFileError(UseCaseError):
    """A file of examples with known answers cannot be used."""


class PastRequestsError(UseCaseError):
    """Past requests, or the choice of them, do not make a baseline."""


class ReplayError(UseCaseError):
    """A stretch of the past cannot be judged again as asked."""


class ShortBaselineError(UseCaseError):
    """There is too little time for a baseline yet."""


class TimeRangeError(UseCaseError):
    """A range of time cannot be read, or is empty."""


class UnexplainedError(UseCaseError):
    """A verdict cannot be taken apart by topic."""


class UnfinishedSearchError(UseCaseError):
    """What was looked for was not found in the time that there was."""
