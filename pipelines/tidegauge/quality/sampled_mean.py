"""Means of sampled scores: what all answers would have scored.

An answer that was judged with probability ``pi`` stands for ``1 / pi`` answers. The sketches
carry three moments per judge (``weight`` = 1/pi, ``weighted`` = y/pi, ``cross`` = y/pi^2),
from which Hajek's mean and its variance follow, and which add up over any partitioning.

Source: Hajek (1971); Sarndal, Swensson and Wretman, "Model Assisted Survey Sampling" (1992),
section 5.7, for the linearised variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tidegauge.quality.errors import EstimateError
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Moments, Sketch

__all__ = ["SampledMean", "hajek", "of_sketch", "stratified"]

_NOTHING: Final = Moments(n=0, total=0.0, squares=0.0, least=math.inf, most=-math.inf)


@dataclass(frozen=True, slots=True)
class SampledMean:
    """An estimate of a mean from a sample with known probabilities.

    Attributes:
        mean: The estimate.
        variance: Of the estimate.
        n: Answers judged.
        effective_n: ``(sum w)^2 / sum w^2``: equally weighted answers that would tell as much.
    """

    mean: float
    variance: float
    n: int
    effective_n: float

    @property
    def standard_error(self) -> float:
        """Return the square root of the variance."""
        return math.sqrt(self.variance)


def hajek(weight: Moments, weighted: Moments, cross: Moments) -> SampledMean | None:
    """Return ``sum(y/pi) / sum(1/pi)`` with its linearised variance; None without a judgment.

    The variance is that of the mean of the process that made the answers:
    ``sum((y - mean)^2 / pi^2) / sum(1/pi)^2``, times n/(n - 1); infinite for one answer.

    Args:
        weight: Moments of 1/pi.
        weighted: Moments of y/pi.
        cross: Moments of y/pi^2.

    Raises:
        EstimateError: The three do not count the same answers.
    """
    if not weight.n == weighted.n == cross.n:
        raise EstimateError(
            f"the weights count {weight.n} answers, the scores {weighted.n} and {cross.n}: "
            "they must come from the same sketches"
        )
    n = weight.n
    if n == 0 or weight.total <= 0:
        return None
    mean = weighted.total / weight.total
    spread = weighted.squares - 2 * mean * cross.total + mean * mean * weight.squares
    variance = math.inf if n == 1 else max(0.0, spread) / weight.total**2 * n / (n - 1)
    return SampledMean(mean, variance, n, weight.total**2 / weight.squares)


def of_sketch(sketch: Sketch, judge: str, score: str) -> SampledMean | None:
    """Return the mean of one score in a ``quality`` sketch.

    Args:
        sketch: Any merge of sketches of the kind ``quality``.
        judge: The judge's label, ``measures.judge_label(name, specification_hash)``.
        score: Name of the score.
    """
    names = (
        measures.weight(judge),
        measures.weighted(judge, score),
        measures.cross(judge, score),
    )
    weight, weighted, cross = (sketch.moments.get(name, _NOTHING) for name in names)
    return hajek(weight, weighted, cross)


def stratified(strata: Iterable[tuple[int, SampledMean]]) -> SampledMean:
    """Return the mean over strata whose exact numbers of answers are known.

    Args:
        strata: Answers in the stratum, judged or not, and the mean of its sample.

    Raises:
        EstimateError: No stratum has an answer.
    """
    parts = [(count, part) for count, part in strata if count > 0]
    total = sum(count for count, _ in parts)
    if not total:
        raise EstimateError("a mean over strata needs one stratum with answers")
    shares = [(count / total, part) for count, part in parts]
    variance = math.fsum(share**2 * part.variance for share, part in shares)
    spread = math.fsum(share**2 / part.effective_n for share, part in shares)
    return SampledMean(
        mean=math.fsum(share * part.mean for share, part in shares),
        variance=variance,
        n=sum(part.n for _, part in parts),
        effective_n=1 / spread,
    )
