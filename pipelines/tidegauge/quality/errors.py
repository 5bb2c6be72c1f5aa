"""What can go wrong while answers are sampled, scored and summed up.

TidegaugeError
└── JudgingError
    ├── SamplingError
    ├── SpecificationError
    ├── ExchangeTooLongError
    ├── EstimateError
    └── LabelFileError
"""

from __future__ import annotations

from tidegauge.schemas import TidegaugeError

__all__ = [
    "EstimateError",
    "ExchangeTooLongError",
    "JudgingError",
    "LabelFileError",
    "SamplingError",
    "SpecificationError",
]


class JudgingError(TidegaugeError):
    """Base class of the errors of sampling, judging and estimating."""


class SamplingError(JudgingError):
    """Sampling rates are not probabilities, or a budget is not positive."""


class SpecificationError(JudgingError):
    """A judge's specification cannot be used."""


class ExchangeTooLongError(JudgingError):
    """A question is longer than what its judge can read, and questions are never cut."""


class EstimateError(JudgingError):
    """An estimate cannot be computed from the given numbers."""


class LabelFileError(JudgingError):
    """A file of labels cannot be used; no label was imported."""
