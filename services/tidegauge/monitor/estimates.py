"""The judge's statistics, in the form that reports are told them in."""

from __future__ import annotations

import math

from tidegauge.quality.sampled_mean import hajek, score_interval
from tidegauge.reports.quality import Estimate
from tidegauge.schemas.sketches import Moments

__all__ = ["estimate"]


def estimate(weight: Moments, weighted: Moments, cross: Moments) -> Estimate:
    """Return a score's mean over all answers, with the interval to show beside it.

    Args:
        weight: Moments of 1 / inclusion probability.
        weighted: Moments of score / inclusion probability.
        cross: Moments of score / inclusion probability squared.
    """
    if not weight.n == weighted.n == cross.n:
        return Estimate(None, None, None, 0.0)
    found = hajek(weight, weighted, cross)
    if found is None:
        return Estimate(None, None, None, 0.0)
    interval = score_interval(found)
    bounded = math.isfinite(interval.low) and math.isfinite(interval.high)
    return Estimate(
        mean=interval.mean,
        low=interval.low if bounded else None,
        high=interval.high if bounded else None,
        effective=interval.effective_n,
        early=interval.too_early,
    )
