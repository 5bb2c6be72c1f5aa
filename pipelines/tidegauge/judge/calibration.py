"""Correct a judge by people's labels, and say when there are too few of them.

Prediction-powered inference uses the judge's scores on many answers and people's labels on
a few: ``theta = lambda * mean(f, unlabelled) + mean(Y - lambda * f, labelled)``. It holds
however wrong the judge is; a good judge makes it narrower than the labels alone.

Source: Angelopoulos, Duchi and Zrnic, "PPI++: Efficient Prediction-Powered Inference"
(2023), for the mean; Rogan and Gladen, American Journal of Epidemiology 107 (1978).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidegauge.judge.errors import EstimateError

__all__ = ["LEAST_LABELS", "LEAST_YOUDEN", "Calibrated", "prediction_powered", "rogan_gladen"]

LEAST_LABELS: Final = 200
"""Labels from which on the judge's scores are used at all."""

LEAST_YOUDEN: Final = 0.3
"""Sensitivity + specificity - 1 below which a binary judge cannot be corrected."""

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A mean that people's labels vouch for.

    Attributes:
        mean: The estimate.
        low: Lower end of its interval.
        high: Upper end.
        weight: How much the judge counts: 0 for the labels alone.
        labels: Labels used.
        labels_alone: Whether there were too few labels to use the judge.
    """

    mean: float
    low: float
    high: float
    weight: float
    labels: int
    labels_alone: bool


def prediction_powered(
    unlabelled: ArrayLike, judged: ArrayLike, labels: ArrayLike, *, alpha: float = 0.05
) -> Calibrated:
    """Return the mean label of all answers, with its interval for one look.

    Args:
        unlabelled: The judge's scores of answers without a label, shape (N,).
        judged: The judge's scores of the labelled answers, shape (n,).
        labels: The labels, shape (n,).
        alpha: Chance that the interval misses the mean.

    Raises:
        EstimateError: Fewer than two labels, shapes that differ, or numbers that are not
            finite.
    """
    f_all, f, y = (np.asarray(part, np.float64).ravel() for part in (unlabelled, judged, labels))
    if f.shape != y.shape or y.size < 2:  # noqa: PLR2004 - a variance needs two
        raise EstimateError(
            f"{y.size} labels and {f.size} scores of the same answers: two of each are needed"
        )
    if not all(np.isfinite(part).all() for part in (f_all, f, y)):
        raise EstimateError("scores and labels must be finite: leave invalid judgements out")
    few = y.size < LEAST_LABELS
    weight = 0.0 if few or f_all.size < 2 else _weight(f_all, f, y)  # noqa: PLR2004 - the same
    rectifier = y - weight * f
    mean = float(rectifier.mean())
    variance = float(rectifier.var(ddof=1)) / y.size
    if weight:
        mean += weight * float(f_all.mean())
        variance += weight**2 * float(f_all.var(ddof=1)) / f_all.size
    reach = NormalDist().inv_cdf(1 - alpha / 2) * math.sqrt(variance)
    return Calibrated(mean, mean - reach, mean + reach, weight, y.size, few)


def _weight(f_all: Floats, f: Floats, y: Floats) -> float:
    spread = float(np.concatenate([f_all, f]).var(ddof=1))
    if spread == 0:
        return 0.0
    shared = float(np.cov(y, f)[0, 1])
    return min(1.0, max(0.0, shared / ((1 + y.size / f_all.size) * spread)))


def rogan_gladen(share_positive: float, *, sensitivity: float, specificity: float) -> float:
    """Return the true share of good answers from a binary judge's share: a cross-check.

    Raises:
        EstimateError: The judge is so near to guessing that the correction means nothing.

    Example:
        >>> round(rogan_gladen(0.6, sensitivity=0.9, specificity=0.8), 3)
        0.571
    """
    youden = sensitivity + specificity - 1
    if youden < LEAST_YOUDEN:
        raise EstimateError(
            f"sensitivity + specificity - 1 is {youden:.2f}, below {LEAST_YOUDEN}: this judge is "
            "too near to guessing for a correction; use the labels alone"
        )
    return min(1.0, max(0.0, (share_positive + specificity - 1) / youden))
