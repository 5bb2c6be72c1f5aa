"""Where to cut a number into a rate: edges of histogram buckets chosen by a baseline.

Also how much such a rate moves by itself from window to window, so that a band leaves room
for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, chi2, norm

from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.schemas.sketches import Histogram
from tidegauge.streaming import histogram

__all__ = [
    "bound_rank",
    "bucket_at_rank",
    "common_shift",
    "quantile_bucket",
    "relative_change",
    "upper_bound",
]

Counts: TypeAlias = NDArray[np.int64]

CONFIDENCE = 0.99
"""Of the upper bound of a quantile."""
LEVELS = (0.95, 0.9, 0.75, 0.5)
"""Quantiles to bound, first the one wanted; a small baseline bounds a lower one."""
_FEWEST_CELLS = 8
_SIGNIFICANT = 0.01


def bound_rank(n: int, level: float, confidence: float = CONFIDENCE) -> int | None:
    """Return the rank whose order statistic bounds a quantile from above.

    The r-th smallest of n numbers is at least the quantile of ``level`` with probability
    ``P(Binomial(n, level) < r)``, whatever the distribution.

    Returns:
        The least such r with probability at least ``confidence``; None if n is too small.

    Example:
        >>> bound_rank(100, 0.95), bound_rank(50, 0.95)
        (100, None)
    """
    rank = int(binom.ppf(confidence, n, level)) + 1
    return rank if rank <= n else None


def bucket_at_rank(values: Histogram, rank: int) -> int:
    """Return the ordered bucket of the ``rank``-th smallest number, counted from 1."""
    below = 0
    for bucket, number in histogram.buckets(values):
        below += number
        if below >= rank:
            return bucket
    msg = f"rank {rank} of {below} numbers"
    raise ValueError(msg)


def upper_bound(values: Histogram) -> tuple[float, int]:
    """Return the highest level that can be bounded, and the bucket of its upper bound.

    Returns:
        (level, bucket): with probability .99 at most ``1 - level`` of all numbers lie above
        the bucket's upper edge.

    Raises:
        RatesBaselineError: There are too few numbers (below 7) to bound even the median.
    """
    n = histogram.count(values)
    for level in LEVELS:
        rank = bound_rank(n, level)
        if rank is not None:
            return level, bucket_at_rank(values, rank)
    raise RatesBaselineError(f"{n} numbers bound no quantile: at least 7 are needed")


def quantile_bucket(values: Histogram, level: float) -> int:
    """Return the bucket in which the quantile of ``level`` lies; of at least one number."""
    n = histogram.count(values)
    return bucket_at_rank(values, max(1, int(np.ceil(level * n))))


def common_shift(levels: Sequence[tuple[Counts, Counts]]) -> float:
    """Return how far the whole distribution moves from window to window, beyond chance.

    A rate that is overdispersed by ``tau`` is read as a shift of a normal variable with a
    random size: ``tau * p / phi(z_p)`` standard deviations. Stretches of 1, 2, 4 … windows
    are looked at, as long as there are eight of them. A fluctuation that a dispersion test cannot
    tell from chance is not charged: the Clopper-Pearson margin of a baseline that small is
    wider than what the test would miss.

    Args:
        levels: (hits, trials) by window, each of shape (B,), for one or more cuts.

    Returns:
        The largest shift found, in standard deviations of a single number.
    """
    found = 0.0
    for hits, trials in levels:
        p = hits.sum() / max(trials.sum(), 1)
        if not 0 < p < 1:
            continue
        sensitivity = norm.pdf(norm.ppf(p)) / p
        tau = _overdispersion(hits, trials, _SIGNIFICANT / len(levels))
        found = max(found, tau / float(sensitivity))
    return found


def relative_change(shift: float, rate: float) -> float:
    """Return by which part a rate changes when the distribution shifts by ``shift``."""
    return shift * float(norm.pdf(norm.ppf(rate)) / rate)


def _overdispersion(hits: Counts, trials: Counts, significance: float) -> float:
    scales = []
    width = 1
    while len(hits) // width >= _FEWEST_CELLS:
        scales.append(width)
        width *= 2
    return max(
        (_moment_estimate(hits, trials, w, significance / len(scales)) for w in scales),
        default=0.0,
    )


def _moment_estimate(hits: Counts, trials: Counts, width: int, significance: float) -> float:
    cells = np.arange(0, len(hits), width)
    c = np.add.reduceat(hits, cells).astype(float)
    n = np.add.reduceat(trials, cells).astype(float)
    c, n = c[n > 0], n[n > 0]
    if len(n) < _FEWEST_CELLS:
        return 0.0
    p = c.sum() / n.sum()
    expected = n * p
    statistic = ((c - expected) ** 2 / (expected * (1 - p))).sum()
    if statistic <= chi2.ppf(1 - significance, len(n) - 1):
        return 0.0
    fitted = 1 - 1 / len(n)
    excess = ((c - expected) ** 2 - expected * (1 - p) * fitted).sum()
    return float(np.sqrt(max(0.0, excess / ((expected**2).sum() * fitted))))
