"""The judge's statistics, in the form that reports are told them in."""

from __future__ import annotations

import math

from tidegauge.quality.errors import EstimateError
from tidegauge.quality.sampled_mean import of_sketch, score_interval
from tidegauge.reports.quality import Estimate
from tidegauge.schemas.sketches import Sketch

__all__ = ["estimate"]

_NONE = Estimate(None, None, None, 0.0)


def estimate(sketch: Sketch, judge: str, score: str) -> Estimate:
    """Return a score's mean over all answers, with the interval to show beside it.

    Args:
        sketch: A ``quality`` sketch.
        judge: The judge's label.
        score: The score's name.
    """
    try:
        found = of_sketch(sketch, judge, score)
    except EstimateError:  # parts of the sketch were left out, since it had too many names
        return _NONE
    if found is None:
        return _NONE
    interval = score_interval(found)
    bounded = math.isfinite(interval.low) and math.isfinite(interval.high)
    return Estimate(
        mean=interval.mean,
        low=interval.low if bounded else None,
        high=interval.high if bounded else None,
        effective=interval.effective_n,
        early=interval.too_early,
    )
