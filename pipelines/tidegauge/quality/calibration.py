"""Correct a judge by people's labels, and say when there are too few of them.

Prediction-powered inference uses the judge's scores on many answers and people's labels on
a few: ``theta = lambda * mean(f, unlabelled) + mean(Y - lambda * f, labelled)``. It is valid
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

from tidegauge.quality.errors import EstimateError
from tidegauge.reports.formatting import number

__all__ = [
    "LEAST_LABELS",
    "LEAST_YOUDEN",
    "Calibrated",
    "Scores",
    "prediction_powered",
    "rogan_gladen",
]

LEAST_LABELS: Final = 200
"""Number of labels from which the judge's scores are used."""

LEAST_YOUDEN: Final = 0.3
"""Sensitivity + specificity - 1 below which a binary judge cannot be corrected."""

_FEWEST: Final = 2
"""Least number of labels for a variance."""

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores with their sampling weights.

    Attributes:
        values: The scores, shape (N,).
        weights: Inverse inclusion probabilities, shape (N,).
    """

    values: Floats
    weights: Floats

    def __post_init__(self) -> None:
        """Check shapes and numbers.

        Raises:
            EstimateError: The shapes differ, a score is not finite or a weight not positive.
        """
        if self.values.shape != self.weights.shape:
            raise EstimateError(
                f"{self.values.size} scores have {self.weights.size} weights: one of each"
            )
        if not np.isfinite(self.values).all() or not (self.weights > 0).all():
            raise EstimateError(
                "scores must be finite and weights positive: leave invalid judgments out"
            )

    @classmethod
    def of(cls, values: ArrayLike, chances: ArrayLike = 1.0) -> Scores:
        """Return scores with their inclusion probabilities, by default 1 for all."""
        found = np.asarray(values, np.float64).ravel()
        weights = 1 / np.broadcast_to(np.asarray(chances, np.float64), found.shape)
        return cls(found, weights)

    @property
    def effective_n(self) -> float:
        """Return ``(sum w)^2 / sum w^2``."""
        return float(self.weights.sum() ** 2 / (self.weights**2).sum())


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A mean corrected by people's labels.

    Attributes:
        mean: The estimate.
        low: Lower end of its interval.
        high: Upper end.
        weight: Weight of the judge's scores (``lambda``); 0 for the labels alone.
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
    unlabelled: Scores, judged: Scores, labels: ArrayLike, *, alpha: float = 0.05
) -> Calibrated:
    """Return the mean label of all answers, with its interval for one look.

    Args:
        unlabelled: The judge's scores of answers without a label.
        judged: The judge's scores of the labelled answers; the weights are those of the
            labels, the inverse of the probability that a person was asked.
        labels: The labels, in the order of ``judged``.
        alpha: Probability that the interval misses the mean.

    Raises:
        EstimateError: Fewer than two labels, shapes that differ, or numbers that are not
            finite.
    """
    y = np.asarray(labels, np.float64).ravel()
    if judged.values.shape != y.shape or y.size < _FEWEST:
        raise EstimateError(
            f"{y.size} labels and {judged.values.size} scores of the same answers: two of each "
            "are needed"
        )
    if not np.isfinite(y).all():
        raise EstimateError("labels must be finite")
    few = y.size < LEAST_LABELS
    alone = few or unlabelled.values.size < _FEWEST
    weight = 0.0 if alone else _weight(unlabelled, judged, y)
    mean, variance = _mean(y - weight * judged.values, judged.weights)
    if weight:
        elsewhere, spread = _mean(unlabelled.values, unlabelled.weights)
        mean += weight * elsewhere
        variance += weight**2 * spread
    reach = NormalDist().inv_cdf(1 - alpha / 2) * math.sqrt(variance)
    return Calibrated(mean, mean - reach, mean + reach, weight, y.size, few)


def _mean(values: Floats, weights: Floats) -> tuple[float, float]:
    """Return Hajek's mean and its linearised variance."""
    total = float(weights.sum())
    mean = float(weights @ values) / total
    n = values.size
    variance = float((weights * (values - mean)) @ (weights * (values - mean))) / total**2
    return mean, variance * n / (n - 1)


def _weight(unlabelled: Scores, judged: Scores, y: Floats) -> float:
    f, w = judged.values, judged.weights
    every = np.concatenate([unlabelled.values, f])
    weights = np.concatenate([unlabelled.weights, w])
    spread = float(np.cov(every, aweights=weights))
    if not spread > 0:
        return 0.0
    shared = float(np.cov(y, f, aweights=w)[0, 1])
    ratio = judged.effective_n / unlabelled.effective_n
    return min(1.0, max(0.0, shared / ((1 + ratio) * spread)))


def rogan_gladen(share_positive: float, *, sensitivity: float, specificity: float) -> float:
    """Return the true share of good answers from a binary judge's share: a cross-check.

    Raises:
        EstimateError: The judge is too close to chance for a correction.

    Example:
        >>> round(rogan_gladen(0.6, sensitivity=0.9, specificity=0.8), 3)
        0.571
    """
    youden = sensitivity + specificity - 1
    if youden < LEAST_YOUDEN:
        raise EstimateError(
            f"sensitivity + specificity - 1 is {number(youden, 2)}, below {LEAST_YOUDEN}: this "
            "judge is too near to guessing for a correction; use the labels alone"
        )
    return min(1.0, max(0.0, (share_positive + specificity - 1) / youden))
