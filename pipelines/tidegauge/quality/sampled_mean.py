"""Means of sampled scores, with their intervals: what all answers would have scored.

An answer that was judged with probability ``pi`` stands for ``1 / pi`` answers. The sketches
carry three moments per judge (``weight`` = 1/pi, ``weighted`` = y/pi, ``cross`` = y/pi^2),
from which Hajek's mean and its variance follow, and which add up over any partitioning.

The answers of one conversation are one cluster. The sketches also carry sums of ``weight`` and
``weighted`` over groups of conversations, and the variance is the one between these groups
(``detection.random_groups``) where that is larger.

From 500 equally weighted answers on, the interval of a mean is an asymptotic confidence
sequence, which is valid after every answer. With fewer it is valid for a single look only, and
marked as such. Alarms use ``tidegauge.detection.confidence``, which is valid at any size.

Source: Hajek (1971); Sarndal, Swensson and Wretman, "Model Assisted Survey Sampling" (1992),
section 5.7, for the linearised variance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from scipy.special import stdtrit

from tidegauge.detection.random_groups import ratio_variance
from tidegauge.quality.errors import EstimateError
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Moments, Sketch

__all__ = [
    "EARLIEST",
    "SampledMean",
    "ScoreInterval",
    "clustered",
    "hajek",
    "of_sketch",
    "score_interval",
    "stratified",
]

EARLIEST: Final = 500.0
"""Effective number of answers from which the asymptotic sequence is used."""

_NORMAL: Final = 1e6
"""Degrees of freedom from which Student's distribution is taken for the normal one."""
_NOTHING: Final = Moments(n=0, total=0.0, squares=0.0, least=math.inf, most=-math.inf)


@dataclass(frozen=True, slots=True)
class SampledMean:
    """An estimate of a mean from a sample with known probabilities.

    Attributes:
        mean: The estimate.
        variance: Variance of the estimate.
        n: Answers judged.
        effective_n: Equivalent number of independent, equally weighted answers:
            ``(sum w)^2 / sum w^2``, less where those of a conversation resemble each other.
        freedom: Degrees of freedom of the variance.
    """

    mean: float
    variance: float
    n: int
    effective_n: float
    freedom: float = math.inf

    @property
    def standard_error(self) -> float:
        """Return the square root of the variance."""
        return math.sqrt(self.variance)


def hajek(weight: Moments, weighted: Moments, cross: Moments) -> SampledMean | None:
    """Return ``sum(y/pi) / sum(1/pi)`` with its linearised variance; None without a judgment.

    The variance is that of the mean of the process that generates the answers:
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
    """Return the mean of one score in a ``quality`` sketch, over conversations as clusters.

    Args:
        sketch: A sketch of the kind ``quality``, or a sum of them.
        judge: The judge's label, ``measures.judge_label(name, specification_hash)``.
        score: Name of the score.
    """
    names = (
        measures.weight(judge),
        measures.weighted(judge, score),
        measures.cross(judge, score),
    )
    weight, weighted, cross = (sketch.moments.get(name, _NOTHING) for name in names)
    found = hajek(weight, weighted, cross)
    if found is None:
        return None
    groups = sketch.totals.get(measures.cluster_weights(judge), {})
    return clustered(found, sketch.totals.get(measures.cluster_sums(judge, score), {}), groups)


def clustered(
    found: SampledMean, sums: Mapping[str, int], weights: Mapping[str, int]
) -> SampledMean:
    """Return a mean whose variance is that between groups of conversations, if it is larger.

    Args:
        found: The mean, with the variance for independent answers.
        sums: Group -> sum of score / inclusion probability; see ``random_groups.group_sum``.
        weights: Group -> sum of 1 / inclusion probability.
    """
    if not weights:
        return found
    variance = ratio_variance(sums, weights)
    if not variance > found.variance:
        return replace(found, freedom=len(weights) - 1)
    effect = variance / found.variance if found.variance > 0 else math.inf
    least = min(found.effective_n, float(len(weights)))
    return replace(
        found,
        variance=variance,
        effective_n=max(least, found.effective_n / effect),
        freedom=len(weights) - 1,
    )


def stratified(strata: Iterable[tuple[int, SampledMean]]) -> SampledMean:
    """Return the mean over strata whose exact numbers of answers are known.

    Args:
        strata: For each stratum, its number of answers, judged or not, and its sample's mean.

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


@dataclass(frozen=True, slots=True)
class ScoreInterval:
    """The confidence interval of a mean score.

    Attributes:
        mean: The estimate.
        low: Lower end.
        high: Upper end.
        effective_n: Equivalent number of equally weighted answers.
        too_early: Whether it is valid for a single look only, since there are too few answers.
    """

    mean: float
    low: float
    high: float
    effective_n: float
    too_early: bool


def score_interval(estimate: SampledMean, *, alpha: float = 0.05) -> ScoreInterval:
    """Return the confidence interval of a mean.

    The sequence's half-width at effective size n and standard deviation s is
    ``s * sqrt(2 (n r + 1) / (n^2 r) * log(sqrt(n r + 1) / alpha))``, with r chosen so that
    it is narrowest at ``EARLIEST``.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit
    theory and asymptotic confidence sequences" (2024), theorem 2.2 and appendix B.2.

    Args:
        estimate: The mean with its variance.
        alpha: Probability that the interval (ever, or at this look) misses the mean.

    Raises:
        EstimateError: ``alpha`` is not in (0, 1).
    """
    if not 0 < alpha < 1:
        raise EstimateError(f"an interval misses with a chance in (0, 1), got {alpha}")
    n = estimate.effective_n
    early = n < EARLIEST
    if early or not math.isfinite(estimate.variance):
        quantile = float(stdtrit(min(estimate.freedom, _NORMAL), 1 - alpha / 2))
        reach = quantile * estimate.standard_error
    else:
        deviation = estimate.standard_error * math.sqrt(n)
        tuning = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / EARLIEST
        grown = n * tuning + 1
        reach = deviation * math.sqrt(
            2 * grown / (n * n * tuning) * math.log(math.sqrt(grown) / alpha)
        )
    return ScoreInterval(estimate.mean, estimate.mean - reach, estimate.mean + reach, n, early)
