"""DDSketch over plain counts: quantiles with a relative error, merged by adding.

Bucket i of the positive numbers holds (gamma**(i-1), gamma**i] with
gamma = (1 + accuracy) / (1 - accuracy); its representative 2 * gamma**i / (gamma + 1) is
within ``accuracy`` of each number in it. Negative numbers mirror this.

Source: Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees", PVLDB 12 (2019), sections 2.1 and 2.2.

The *ordered bucket* of a number combines the two dictionaries of a ``Histogram``: a whole
number that grows with the value, 0 for zero, positive for positive numbers. Baselines store
thresholds as ordered buckets, so that every worker counts "above the edge" in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache

from tidegauge.schemas.sketches import Histogram
from tidegauge.streaming.errors import AccuracyError, MergeError, ValueRangeError

__all__ = [
    "ACCURACY",
    "SMALLEST",
    "HistogramAccumulator",
    "add",
    "bucket_of",
    "buckets",
    "count",
    "empty",
    "indices",
    "log_gamma",
    "merge",
    "merge_all",
    "quantile",
    "split",
    "upper_edge",
]

ACCURACY = 0.01
"""Default relative error of a quantile."""

SMALLEST = 1e-9
"""Numbers of a smaller absolute value are counted as zero."""

_ON_THE_EDGE = 1e-9
"""Tolerance in buckets: keeps rounding from moving an edge into the next bucket."""


@cache
def log_gamma(accuracy: float) -> float:
    """Return log(gamma), the width of a bucket on the log scale.

    Raises:
        AccuracyError: The accuracy is outside (0, 1).
    """
    if not 0 < accuracy < 1:
        raise AccuracyError(accuracy)
    return math.log((1 + accuracy) / (1 - accuracy))


@cache
def _least_index(accuracy: float) -> int:
    return math.ceil(math.log(SMALLEST) / log_gamma(accuracy) - _ON_THE_EDGE)


def _index(magnitude: float, width: float) -> int:
    return math.ceil(math.log(magnitude) / width - _ON_THE_EDGE)


def indices(values: Iterable[float], accuracy: float = ACCURACY) -> list[int]:
    """Return the bucket of each number in ``Histogram.positive``.

    Args:
        values: Numbers of at least ``SMALLEST``.
        accuracy: Relative error of a quantile.
    """
    width = log_gamma(accuracy)
    return [_index(value, width) for value in values]


class HistogramAccumulator:
    """Counts numbers in place; ``histogram()`` is its value.

    Attributes:
        accuracy: Relative error of a quantile.
    """

    __slots__ = ("_negative", "_positive", "_width", "_zero", "accuracy")

    def __init__(self, start: Histogram) -> None:
        self.accuracy = start.accuracy
        self._width = log_gamma(start.accuracy)
        self._positive = dict(start.positive)
        self._negative = dict(start.negative)
        self._zero = start.zero

    def add(self, value: float) -> None:
        """Count one number.

        Raises:
            ValueRangeError: It is infinite or not a number.
        """
        if SMALLEST <= value < math.inf:
            index = math.ceil(math.log(value) / self._width - _ON_THE_EDGE)
            self._positive[index] = self._positive.get(index, 0) + 1
        elif -SMALLEST < value < SMALLEST:
            self._zero += 1
        elif -math.inf < value < 0:
            index = _index(-value, self._width)
            self._negative[index] = self._negative.get(index, 0) + 1
        else:
            raise ValueRangeError(value)

    def histogram(self) -> Histogram:
        """Return the histogram of the numbers counted so far, buckets in ascending order."""
        return Histogram(
            accuracy=self.accuracy,
            positive=dict(sorted(self._positive.items())),
            negative=dict(sorted(self._negative.items())),
            zero=self._zero,
        )


def empty(accuracy: float = ACCURACY) -> Histogram:
    """Return a histogram of no numbers.

    Raises:
        AccuracyError: The accuracy is outside (0, 1).
    """
    log_gamma(accuracy)
    return Histogram(accuracy=accuracy, positive={})


def add(histogram: Histogram, values: Iterable[float]) -> Histogram:
    """Return the histogram with numbers added.

    Raises:
        ValueRangeError: One is infinite or not a number; nothing was counted.

    Example:
        >>> round(quantile(add(empty(), [1.0, 2.0, 3.0]), 0.5))
        2
    """
    accumulator = HistogramAccumulator(histogram)
    for value in values:
        accumulator.add(value)
    return accumulator.histogram()


def merge(a: Histogram, b: Histogram) -> Histogram:
    """Return the sum of two histograms: exact, associative and commutative.

    Raises:
        MergeError: Their accuracies differ.
    """
    if a.accuracy != b.accuracy:
        raise MergeError("the histograms' accuracy", a.accuracy, b.accuracy)
    return Histogram(
        accuracy=a.accuracy,
        positive=_sum(a.positive, b.positive),
        negative=_sum(a.negative, b.negative),
        zero=a.zero + b.zero,
    )


def merge_all(histograms: Iterable[Histogram], accuracy: float = ACCURACY) -> Histogram:
    """Return the sum of histograms, in time linear in their buckets.

    Args:
        histograms: The histograms.
        accuracy: Relative error of the sum of none.

    Raises:
        MergeError: Their accuracies differ.
    """
    positive: dict[int, int] = {}
    negative: dict[int, int] = {}
    zero, first = 0, None
    for one in histograms:
        first = one.accuracy if first is None else first
        if one.accuracy != first:
            raise MergeError("the histograms' accuracy", first, one.accuracy)
        for index, n in one.positive.items():
            positive[index] = positive.get(index, 0) + n
        for index, n in one.negative.items():
            negative[index] = negative.get(index, 0) + n
        zero += one.zero
    return Histogram(
        accuracy=accuracy if first is None else first,
        positive=dict(sorted(positive.items())),
        negative=dict(sorted(negative.items())),
        zero=zero,
    )


def _sum(a: dict[int, int], b: dict[int, int]) -> dict[int, int]:
    return {index: a.get(index, 0) + b.get(index, 0) for index in sorted(a.keys() | b.keys())}


def count(histogram: Histogram) -> int:
    """Return how many numbers were counted."""
    return sum(histogram.positive.values()) + sum(histogram.negative.values()) + histogram.zero


def buckets(histogram: Histogram) -> list[tuple[int, int]]:
    """Return (ordered bucket, count) pairs, from the least numbers to the greatest."""
    first = _least_index(histogram.accuracy) - 1
    negative, positive = histogram.negative, histogram.positive
    return [
        *((first - index, negative[index]) for index in sorted(negative, reverse=True)),
        *([(0, histogram.zero)] if histogram.zero else []),
        *((index - first, positive[index]) for index in sorted(positive)),
    ]


def bucket_of(value: float, accuracy: float = ACCURACY) -> int:
    """Return the ordered bucket of a number: a non-decreasing function of it.

    Raises:
        ValueRangeError: It is infinite or not a number.

    Example:
        >>> bucket_of(-2.0) < bucket_of(-1.0) < bucket_of(0.0) < bucket_of(1.0)
        True
    """
    if not math.isfinite(value):
        raise ValueRangeError(value)
    if abs(value) < SMALLEST:
        return 0
    rank = _index(abs(value), log_gamma(accuracy)) - _least_index(accuracy) + 1
    return rank if value > 0 else -rank


def upper_edge(bucket: int, accuracy: float = ACCURACY) -> float:
    """Return the upper edge of an ordered bucket.

    A positive bucket includes its edge; the edge of a negative one belongs to the next.
    """
    least, width = _least_index(accuracy), log_gamma(accuracy)
    if bucket > 0:
        return math.exp((bucket + least - 1) * width)
    if bucket == 0:
        return SMALLEST
    return min(-math.exp((least - bucket - 2) * width), -SMALLEST)


def _representative(bucket: int, accuracy: float) -> float:
    if bucket == 0:
        return 0.0
    width = log_gamma(accuracy)
    magnitude = math.exp((abs(bucket) + _least_index(accuracy) - 1) * width)
    return math.copysign(2 * magnitude / (math.exp(width) + 1), bucket)


def quantile(histogram: Histogram, q: float) -> float | None:
    """Return the number of rank ``floor(q * (n - 1))``, within the relative accuracy.

    Args:
        histogram: The numbers' histogram.
        q: The quantile's level, in [0, 1].

    Returns:
        None for a histogram of no numbers.

    Raises:
        ValueRangeError: ``q`` is outside [0, 1].
    """
    if not 0 <= q <= 1:
        raise ValueRangeError(q)
    rank = q * (count(histogram) - 1)
    below = 0
    for bucket, number in buckets(histogram):
        below += number
        if below > rank:
            return _representative(bucket, histogram.accuracy)
    return None


def split(histogram: Histogram, bucket: int) -> tuple[int, int]:
    """Return how many numbers lie in an ordered bucket or below it, and how many above it.

    The latter are the numbers above ``upper_edge(bucket)``.
    """
    first = _least_index(histogram.accuracy) - 1
    above = sum(number for index, number in histogram.positive.items() if index - first > bucket)
    if bucket < 0:
        above += histogram.zero
        above += sum(n for index, n in histogram.negative.items() if first - index > bucket)
    return count(histogram) - above, above
