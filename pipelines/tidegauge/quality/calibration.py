"""Correct a judge by people's labels, and say when there are too few of them.

Prediction-powered inference uses the judge's scores on many answers and people's labels on
some of these: ``theta = mean(Y, labelled) + lambda * (mean(f, judged) - mean(f, labelled))``,
each a Hajek mean with its own inclusion probabilities. It is valid however wrong the judge is,
and however unequal the probabilities are; a good judge makes it narrower than the labels alone.

The answers of one conversation are one cluster: variances are those of the clusters' sums of
linearised residuals, so an answer that was both judged and labelled is counted with itself.

Sources: Angelopoulos, Duchi and Zrnic, "PPI++: Efficient Prediction-Powered Inference" (2023),
for the mean; Sarndal, Swensson and Wretman, "Model Assisted Survey Sampling" (1992), section
5.7 for the linearised variance and 8.6 for its clusters; Korn and Graubard, Survey Methodology
24 (1998), for few labels; Rogan and Gladen, American Journal of Epidemiology 107 (1978).
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from tidegauge.detection.confidence import clopper_pearson
from tidegauge.quality.errors import EstimateError
from tidegauge.reports.formatting import number

__all__ = [
    "LEAST_EACH",
    "LEAST_LABELS",
    "LEAST_YOUDEN",
    "Calibrated",
    "CorrectedShare",
    "Labels",
    "Scores",
    "corrected_share",
    "labels_alone",
    "prediction_powered",
    "rogan_gladen",
]

LEAST_LABELS: Final = 200
"""Number of conversations with labels from which the judge's scores are used."""

LEAST_EACH: Final = 10
"""Good and bad labels, each, from which the judge's scores are used: a normal approximation
of a rarer kind misses too often."""

LEAST_YOUDEN: Final = 0.3
"""Sensitivity + specificity - 1 below which a binary judge cannot be corrected."""

_CUT: Final = 0.5
_ROUNDING: Final = 1e-12
_FEWEST: Final = 2
"""Least number of conversations for a variance."""

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """A judge's scores with their sampling weights.

    Attributes:
        values: The scores, shape (N,).
        weights: Inverse inclusion probabilities, shape (N,).
        clusters: Number of each answer's conversation from 0, shape (N,).
    """

    values: Floats
    weights: Floats
    clusters: Integers

    def __post_init__(self) -> None:
        """Check shapes and numbers.

        Raises:
            EstimateError: The shapes differ, a score is not finite or a weight not positive.
        """
        if not self.values.shape == self.weights.shape == self.clusters.shape:
            raise EstimateError(
                f"{self.values.size} scores have {self.weights.size} weights and "
                f"{self.clusters.size} conversations: one of each"
            )
        if not np.isfinite(self.values).all() or not (self.weights > 0).all():
            raise EstimateError(
                "scores must be finite and weights positive: leave invalid judgments out"
            )

    @classmethod
    def of(
        cls,
        values: ArrayLike,
        chances: ArrayLike = 1.0,
        conversations: Sequence[Hashable] | None = None,
    ) -> Scores:
        """Return scores with their inclusion probabilities, by default 1 for all.

        Args:
            values: The scores.
            chances: Inclusion probabilities, one or one for each score.
            conversations: Name of each answer's conversation; by default each its own.
        """
        found = np.asarray(values, np.float64).ravel()
        weights = 1 / np.broadcast_to(np.asarray(chances, np.float64), found.shape)
        if conversations is None:
            return cls(found, weights, np.arange(found.size))
        numbers: dict[Hashable, int] = {}
        codes = [numbers.setdefault(each, len(numbers)) for each in conversations]
        return cls(found, weights, np.asarray(codes, np.intp))

    @property
    def mean(self) -> float:
        """Return Hajek's mean, ``sum(y w) / sum(w)``."""
        return float(self.weights @ self.values) / float(self.weights.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """People's labels of some of the judged answers.

    Attributes:
        rows: Which of the judged answers, shape (n,).
        values: The labels, shape (n,).
        weights: Inverse of the probability that an answer was judged and given to a person,
            shape (n,).
    """

    rows: Integers
    values: Floats
    weights: Floats

    @classmethod
    def of(cls, rows: ArrayLike, values: ArrayLike, chances: ArrayLike = 1.0) -> Labels:
        """Return labels with their inclusion probabilities, by default 1 for all."""
        found = np.asarray(values, np.float64).ravel()
        weights = 1 / np.broadcast_to(np.asarray(chances, np.float64), found.shape)
        return cls(np.asarray(rows, np.intp).ravel(), found, weights)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A mean corrected by people's labels.

    Attributes:
        mean: The estimate.
        low: Lower end of its interval.
        high: Upper end.
        weight: Weight of the judge's scores (``lambda``); 0 for the labels alone.
        labels: Labels used.
        conversations: Conversations that these labels are from.
        alone: Why the labels stand alone; None if the judge is used.
    """

    mean: float
    low: float
    high: float
    weight: float
    labels: int
    conversations: int
    alone: str | None


def prediction_powered(judged: Scores, labels: Labels, *, alpha: float = 0.05) -> Calibrated:
    """Return the mean label of all answers, with its interval for one look.

    Args:
        judged: The judge's scores of all answers that it has judged, labelled or not.
        labels: The labels of some of them.
        alpha: Probability that the interval misses the mean.

    Raises:
        EstimateError: Labels of fewer than two conversations, a label that is not finite, or
            one with a higher inclusion probability than the judgment of the same answer.
    """
    _check(judged, labels)
    why = _why_alone(judged, labels)
    if why is not None:
        return labels_alone(judged, labels, alpha=alpha, why=why)
    ours = labels.weights / labels.weights.sum()
    theirs = judged.weights / judged.weights.sum()
    scores = judged.values[labels.rows]
    mean, scores_mean = float(ours @ labels.values), float(ours @ scores)
    own = _sums(judged, ours * (labels.values - mean), labels.rows)
    judges = _sums(judged, theirs * (judged.values - judged.mean))
    judges -= _sums(judged, ours * (scores - scores_mean), labels.rows)
    spread = float(judges @ judges)
    weight = min(1.0, max(0.0, -float(own @ judges) / spread)) if spread > 0 else 0.0
    residuals = own + weight * judges
    count = _conversations(judged, labels)
    variance = float(residuals @ residuals) * count / (count - 1)
    reach = _quantile(_effective(residuals), alpha) * math.sqrt(variance)
    estimate = mean + weight * (judged.mean - scores_mean)
    low, high = estimate - reach, estimate + reach
    if _are_shares(labels.values):
        low, high, estimate = max(0.0, low), min(1.0, high), min(1.0, max(0.0, estimate))
    return Calibrated(estimate, low, high, weight, labels.values.size, count, None)


def labels_alone(
    judged: Scores, labels: Labels, *, alpha: float = 0.05, why: str = "asked for"
) -> Calibrated:
    """Return the mean label of all answers without the judge's scores.

    For labels in [0, 1] the interval is Clopper and Pearson's at the effective number of labels
    ``p (1 - p) / variance``, at most Kish's ``(sum w)^2 / sum w^2`` over conversations: labels
    that are all alike still have an interval. For others it is Student's.

    Args:
        judged: The judge's scores, for the answers' conversations.
        labels: The labels of some of them.
        alpha: Probability that the interval misses the mean.
        why: Why the judge is not used.

    Raises:
        EstimateError: See ``prediction_powered``.
    """
    _check(judged, labels)
    ours = labels.weights / labels.weights.sum()
    mean = float(ours @ labels.values)
    count = _conversations(judged, labels)
    residuals = _sums(judged, ours * (labels.values - mean), labels.rows)
    variance = float(residuals @ residuals) * count / (count - 1)
    quantile = _quantile(count, alpha)
    if _are_shares(labels.values):
        shares = _sums(judged, ours, labels.rows)
        effective = 1 / float(shares @ shares)
        mean = min(1.0, max(0.0, mean))
        if (widest := mean * (1 - mean)) > _ROUNDING:
            effective = min(effective, widest / variance)
        effective *= (float(-ndtri(alpha / 2)) / quantile) ** 2 if count < labels.values.size else 1
        low, high = clopper_pearson(mean * effective, effective, alpha=alpha)
        ends = float(low), float(high)
    else:
        reach = quantile * math.sqrt(variance)
        ends = mean - reach, mean + reach
    return Calibrated(mean, *ends, 0.0, labels.values.size, count, why)


def _check(judged: Scores, labels: Labels) -> None:
    if not labels.rows.shape == labels.values.shape == labels.weights.shape:
        raise EstimateError(
            f"{labels.values.size} labels are of {labels.rows.size} answers: one of each"
        )
    if labels.values.size < _FEWEST or _conversations(judged, labels) < _FEWEST:
        raise EstimateError(
            f"{labels.values.size} labels are of fewer than {_FEWEST} conversations: at least "
            "two are needed for an interval"
        )
    if not np.isfinite(labels.values).all() or not (labels.weights > 0).all():
        raise EstimateError("labels must be finite and their weights positive")
    above = labels.weights < judged.weights[labels.rows] * (1 - 1e-9)
    if above.any():
        row = int(np.flatnonzero(above)[0])
        asked, judge = 1 / labels.weights[row], 1 / judged.weights[labels.rows[row]]
        raise EstimateError(
            f"{int(above.sum())} labels have an inclusion probability above the judge's own, one "
            f"of them {number(asked)} above {number(judge)}: it has to be the probability that "
            "the answer was judged and given to a person"
        )


def _why_alone(judged: Scores, labels: Labels) -> str | None:
    if _conversations(judged, labels) < LEAST_LABELS:
        return f"{LEAST_LABELS} conversations with labels are needed to use the judge"
    if _are_shares(labels.values):
        rarer = min(float(labels.values.sum()), float((1 - labels.values).sum()))
        if rarer < LEAST_EACH:
            return f"{LEAST_EACH} good and {LEAST_EACH} bad labels are needed to use the judge"
    return None


def _sums(judged: Scores, parts: Floats, rows: Integers | None = None) -> Floats:
    """Return the sum of the parts for each conversation; all judged answers have one, or rows."""
    found = np.zeros(int(judged.clusters.max()) + 1)
    np.add.at(found, judged.clusters if rows is None else judged.clusters[rows], parts)
    return found


def _conversations(judged: Scores, labels: Labels) -> int:
    return np.unique(judged.clusters[labels.rows]).size


def _effective(residuals: Floats) -> float:
    """Return how many residuals make the variance, ``sum(r^2)^2 / sum(r^4)``.

    Where few labels have large weights, few residuals do, and a normal interval is too narrow.
    """
    squares = residuals**2
    fourth = float(squares @ squares)
    return float(squares.sum()) ** 2 / fourth if fourth > 0 else float(residuals.size)


def _quantile(count: float, alpha: float) -> float:
    return float(stdtrit(max(1.0, count - 1), 1 - alpha / 2))


def _are_shares(values: Floats) -> bool:
    return bool((values >= 0).all() and (values <= 1).all())


@dataclass(frozen=True, slots=True)
class CorrectedShare:
    """The share of good answers by Rogan and Gladen's correction.

    Attributes:
        share: The estimate.
        low: Lower end of its interval.
        high: Upper end.
    """

    share: float
    low: float
    high: float


def corrected_share(judged: Scores, labels: Labels, *, alpha: float = 0.05) -> CorrectedShare:
    """Return the share of good answers from the share that the judge calls good.

    An answer is good from a label of .5 on, and the judge calls it good from a score of .5 on.
    Sensitivity and specificity are weighted like the labels. The variance is that of the
    linearised correction, over conversations.

    Args:
        judged: The judge's scores, in [0, 1].
        labels: The labels of some of them.
        alpha: Probability that the interval misses the share.

    Raises:
        EstimateError: The judge is too close to chance, its scores are not within 0 and 1,
            people liked all answers or none; or see ``prediction_powered``.
    """
    _check(judged, labels)
    if not _are_shares(judged.values):
        raise EstimateError("its scores are not within 0 and 1")
    good, called = labels.values >= _CUT, (judged.values >= _CUT).astype(np.float64)
    if good.all() or not good.any():
        raise EstimateError("people liked all of the labelled answers, or none")
    seen = called[labels.rows]
    liked = np.where(good, labels.weights, 0) / labels.weights[good].sum()
    disliked = np.where(good, 0, labels.weights) / labels.weights[~good].sum()
    sensitivity, specificity = float(liked @ seen), 1 - float(disliked @ seen)
    theirs = judged.weights / judged.weights.sum()
    positive = float(theirs @ called)
    share = rogan_gladen(positive, sensitivity=sensitivity, specificity=specificity)
    parts = share * liked * (seen - sensitivity) + (1 - share) * disliked * (seen - 1 + specificity)
    residuals = _sums(judged, theirs * (called - positive)) - _sums(judged, parts, labels.rows)
    count = _conversations(judged, labels)
    variance = float(residuals @ residuals) * count / (count - 1)
    reach = (
        _quantile(_effective(residuals), alpha)
        * math.sqrt(variance)
        / (sensitivity + specificity - 1)
    )
    return CorrectedShare(share, max(0.0, share - reach), min(1.0, share + reach))


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
