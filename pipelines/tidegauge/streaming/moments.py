"""Count, sum, sum of squares and extremes of a number, merged by adding.

Merging is exact up to the rounding of floating-point sums; ``n`` and the extremes are exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tidegauge.schemas.sketches import Moments
from tidegauge.streaming.errors import ValueRangeError

__all__ = ["EMPTY", "LARGEST", "MomentsAccumulator", "mean", "merge", "of", "variance"]

LARGEST = 1e100
"""Greatest absolute value accepted: sums of greater squares would overflow."""

EMPTY = Moments(n=0, total=0.0, squares=0.0, least=0.0, most=0.0)
"""The moments of no numbers; its extremes are meaningless."""


class MomentsAccumulator:
    """Adds numbers in place; ``moments()`` is its value."""

    __slots__ = ("_least", "_most", "_n", "_squares", "_total")

    def __init__(self, start: Moments = EMPTY) -> None:
        self._n = start.n
        self._total = start.total
        self._squares = start.squares
        self._least = start.least if start.n else math.inf
        self._most = start.most if start.n else -math.inf

    def add(self, value: float) -> None:
        """Add one number.

        Raises:
            ValueRangeError: It is not a number, or beyond ``LARGEST``.
        """
        if not -LARGEST <= value <= LARGEST:
            raise ValueRangeError(value)
        self._n += 1
        self._total += value
        self._squares += value * value
        self._least = min(self._least, value)
        self._most = max(self._most, value)

    def moments(self) -> Moments:
        """Return the moments of the numbers added so far."""
        if not self._n:
            return EMPTY
        return Moments(
            n=self._n,
            total=self._total,
            squares=self._squares,
            least=self._least,
            most=self._most,
        )


def of(values: Iterable[float]) -> Moments:
    """Return the moments of some numbers.

    Raises:
        ValueRangeError: One is not a number, or beyond ``LARGEST``.

    Example:
        >>> mean(of([1.0, 3.0]))
        2.0
    """
    accumulator = MomentsAccumulator()
    for value in values:
        accumulator.add(value)
    return accumulator.moments()


def merge(a: Moments, b: Moments) -> Moments:
    """Return the moments of both sets of numbers together."""
    if not a.n:
        return b
    if not b.n:
        return a
    return Moments(
        n=a.n + b.n,
        total=a.total + b.total,
        squares=a.squares + b.squares,
        least=min(a.least, b.least),
        most=max(a.most, b.most),
    )


def mean(moments: Moments) -> float | None:
    """Return the mean, None for no numbers."""
    return moments.total / moments.n if moments.n else None


def variance(moments: Moments) -> float | None:
    """Return the sample variance (divisor n - 1), None for fewer than two numbers."""
    if moments.n < 2:  # noqa: PLR2004 - a spread takes two numbers
        return None
    spread = moments.squares - moments.total * (moments.total / moments.n)
    return max(spread, 0.0) / (moments.n - 1)
