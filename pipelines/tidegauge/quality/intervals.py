"""Intervals for the mean score on a page that people look at all the time.

From 500 equally weighted answers on: an asymptotic confidence sequence, which may be looked
at after every answer. With fewer there is only the interval of one look, marked as such.
An alarm needs more than this: ``tidegauge.detection.confidence`` bets, and holds at any size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

from tidegauge.quality.errors import EstimateError
from tidegauge.quality.sampled_mean import SampledMean

__all__ = ["EARLIEST", "ScoreInterval", "score_interval"]

EARLIEST: Final = 500.0
"""Effective answers from which on the sequence's asymptotics can be relied on."""


@dataclass(frozen=True, slots=True)
class ScoreInterval:
    """Where the mean score lies.

    Attributes:
        mean: The estimate.
        low: Lower end.
        high: Upper end.
        effective_n: Equally weighted answers that would tell as much.
        too_early: Whether it holds for a single look only, since there are too few answers.
    """

    mean: float
    low: float
    high: float
    effective_n: float
    too_early: bool


def score_interval(estimate: SampledMean, *, alpha: float = 0.05) -> ScoreInterval:
    """Return the interval to show beside a mean.

    The sequence's half-width at effective size n and standard deviation s is
    ``s * sqrt(2 (n r + 1) / (n^2 r) * log(sqrt(n r + 1) / alpha))``, with r chosen so that
    it is narrowest at ``EARLIEST``.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit
    theory and asymptotic confidence sequences" (2024), theorem 2.2 and appendix B.2.

    Args:
        estimate: The mean with its variance.
        alpha: Chance that the interval (ever, or at this look) misses the mean.

    Raises:
        EstimateError: ``alpha`` is not in (0, 1).
    """
    if not 0 < alpha < 1:
        raise EstimateError(f"an interval misses with a chance in (0, 1), got {alpha}")
    n = estimate.effective_n
    early = n < EARLIEST
    if early or not math.isfinite(estimate.variance):
        reach = NormalDist().inv_cdf(1 - alpha / 2) * estimate.standard_error
    else:
        deviation = estimate.standard_error * math.sqrt(n)
        tuning = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha) + 1)) / EARLIEST
        grown = n * tuning + 1
        reach = deviation * math.sqrt(
            2 * grown / (n * n * tuning) * math.log(math.sqrt(grown) / alpha)
        )
    return ScoreInterval(estimate.mean, estimate.mean - reach, estimate.mean + reach, n, early)
