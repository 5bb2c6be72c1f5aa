"""What can go wrong while answers are sampled, scored and summed up.

TidegaugeError
└── JudgingError
    ├── SamplingError
    ├── SpecificationError
    ├── EstimateError
    └── LabelFileError
"""

from __future__ import annotations

from tidegauge.schemas import TidegaugeError

__all__ = ["EstimateError", "JudgingError", "LabelFileError", "SamplingError", "SpecificationError"]


class JudgingError(TidegaugeError):
    """Judging was given what it cannot work with."""


class SamplingError(JudgingError):
    """Sampling rates are not probabilities, or a budget is not positive."""


class SpecificationError(JudgingError):
    """A judge's specification cannot be used."""


class EstimateError(JudgingError):
    """Numbers do not make an estimate."""


class LabelFileError(JudgingError):
    """A file of labels cannot be used; nothing of it was taken."""
