"""Where a baseline cuts a duration: an edge for each stratum, beyond which a known share lies.

A stratum alone often has too few events for a quantile of its own. A regression tree therefore
joins strata into groups: it begins with all of them together and splits a group where the split
explains most of the variance of the logarithm of the duration, as long as both parts are large
enough (Breiman, Friedman, Olshen and Stone, "Classification and Regression Trees", 1984,
chapter 8). Each group's quantile is bounded from above, so that the share of its values beyond
the edge is at most the nominal one: whichever groups the traffic moves to, the rate is known.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np
from scipy.special import bdtrik

from tidegauge.schemas.sketches import Histogram, Sketch
from tidegauge.schemas.strata import UNKNOWN, LoadStratum
from tidegauge.streaming import histogram

__all__ = [
    "CONFIDENCE",
    "StratumGroup",
    "bound_rank",
    "bucket_at_rank",
    "edges",
    "group_strata",
    "known_strata",
    "merge_strata",
    "quantile_bucket",
]

CONFIDENCE = 0.99
"""Confidence level of the upper bound of a quantile."""
_FEWEST_IN_GROUP = 300
_MOST_GROUPS = 24
_FEWEST_AS_HEAVY = 5
"""Events of a baseline that make a stratum known, see ``known_strata``."""
_NOTABLE_GAIN = 10.0
"""A split must explain this many times the variance that a split at random would explain."""


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
    rank = math.ceil(bdtrik(confidence, n, level)) + 1
    return rank if rank <= n else None


def bucket_at_rank(values: Histogram, rank: int) -> int:
    """Return the ordered bucket of the ``rank``-th smallest number, counted from 1."""
    below = 0
    for bucket, events in histogram.buckets(values):
        below += events
        if below >= rank:
            return bucket
    msg = f"rank {rank} of {below} numbers"
    raise ValueError(msg)


def quantile_bucket(values: Histogram, level: float) -> int:
    """Return the ordered bucket of the quantile of ``level``; there must be a number."""
    n = histogram.count(values)
    return bucket_at_rank(values, max(1, int(np.ceil(level * n))))


def merge_strata(windows: Iterable[Sketch], value: str) -> dict[str, Histogram]:
    """Return a number's histograms by stratum, added up over windows."""
    found: dict[str, list[Histogram]] = defaultdict(list)
    for window in windows:
        for name, values in window.strata.get(value, {}).items():
            found[name].append(values)
    return {name: histogram.merge_all(own) for name, own in found.items()}


@dataclass(frozen=True, slots=True)
class StratumGroup:
    """Strata that share their edges.

    Attributes:
        strata: The strata.
        values: The histogram of all their values.
    """

    strata: tuple[LoadStratum, ...]
    values: Histogram


@dataclass(frozen=True, slots=True)
class _LogMoments:
    """Count, sum and sum of squares of the logarithm of a duration."""

    n: float
    total: float
    squares: float

    def plus(self, other: _LogMoments) -> _LogMoments:
        return _LogMoments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def deviation(self) -> float:
        """The sum of squared deviations from the mean."""
        return max(0.0, self.squares - self.total**2 / self.n) if self.n else 0.0


_NOTHING = _LogMoments(0.0, 0.0, 0.0)


def _log_moments(values: Histogram) -> _LogMoments:
    found = _NOTHING
    for bucket, n in histogram.buckets(values):
        log = math.log(max(histogram.upper_edge(bucket, values.accuracy), histogram.SMALLEST))
        found = found.plus(_LogMoments(n, n * log, n * log * log))
    return found


def group_strata(by_stratum: Mapping[str, Histogram]) -> tuple[StratumGroup, ...]:
    """Join the strata of a baseline into groups that are large enough for quantiles.

    Args:
        by_stratum: LoadStratum's name -> histogram of its values; at least one.
    """
    moments = {LoadStratum.parse(name): _log_moments(found) for name, found in by_stratum.items()}
    groups = [tuple(sorted(moments))]
    finished: list[tuple[LoadStratum, ...]] = []
    while groups and len(groups) + len(finished) < _MOST_GROUPS:
        largest = max(groups, key=lambda group: _sum(group, moments).deviation)
        groups.remove(largest)
        parts = _split(largest, moments)
        if parts is None:
            finished.append(largest)
        else:
            groups += parts
    return tuple(
        StratumGroup(group, histogram.merge_all(by_stratum[s.name] for s in group))
        for group in sorted([*groups, *finished])
    )


def _sum(group: Iterable[LoadStratum], moments: Mapping[LoadStratum, _LogMoments]) -> _LogMoments:
    return reduce(_LogMoments.plus, (moments[stratum] for stratum in group), _NOTHING)


def _split(
    group: Sequence[LoadStratum], moments: Mapping[LoadStratum, _LogMoments]
) -> tuple[tuple[LoadStratum, ...], tuple[LoadStratum, ...]] | None:
    """Return the two parts of the split that explains most; None if none is notable."""
    whole = _sum(group, moments)
    best, found = _NOTABLE_GAIN * whole.deviation / max(whole.n, 1.0), None
    for dimension in range(len(LoadStratum._fields)):
        for edge in sorted({stratum[dimension] for stratum in group})[:-1]:
            left = tuple(stratum for stratum in group if stratum[dimension] <= edge)
            right = tuple(stratum for stratum in group if stratum[dimension] > edge)
            a, b = _sum(left, moments), _sum(right, moments)
            gain = whole.deviation - a.deviation - b.deviation
            if min(a.n, b.n) >= _FEWEST_IN_GROUP and gain > best:
                best, found = gain, (left, right)
    return found


def edges(groups: Sequence[StratumGroup], level: float) -> dict[LoadStratum, int] | None:
    """Return each stratum's bucket, beyond which at most ``1 - level`` of its group's values lie.

    Returns:
        LoadStratum -> ordered bucket, each group's with probability ``CONFIDENCE``; None where a
        group is too small to bound the quantile.
    """
    found: dict[LoadStratum, int] = {}
    for group in groups:
        rank = bound_rank(histogram.count(group.values), level)
        if rank is None:
            return None
        bucket = bucket_at_rank(group.values, rank)
        found |= dict.fromkeys(group.strata, bucket)
    return found


def known_strata(by_stratum: Mapping[str, Histogram]) -> dict[LoadStratum, LoadStratum]:
    """Return the strata that a baseline knows, each with the stratum whose edge it uses.

    A stratum is known if the baseline has a few events with at least as much load and at least
    as long texts. It uses its own edge where it has events, or else that of the nearest heavier
    one: there durations are longer, so that the share beyond the edge can only be smaller.
    """
    counts = {LoadStratum.parse(name): histogram.count(found) for name, found in by_stratum.items()}
    heavier: Counter[LoadStratum] = Counter()
    like: dict[LoadStratum, LoadStratum] = {}
    for heavy in sorted(counts, key=lambda one: (sum(one), one), reverse=True):
        ranges = [[one] if one == UNKNOWN else range(one + 1) for one in heavy[:3]]
        for load, prompt, output in product(*ranges):
            light = LoadStratum(load, prompt, output, heavy.streamed)
            heavier[light] += counts[heavy]
            # The lightest of the heavier strata comes last, and is kept.
            like[light] = heavy
    return {one: like[one] for one, n in heavier.items() if n >= _FEWEST_AS_HEAVY}
