"""How far two samples of a column lie apart, and how far chance alone may take them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np

__all__ = ["by_chance", "distance"]

_ALPHA: Final = 0.01
"""Probability that a column of the same traffic lies further apart, over all columns."""


def distance(one: Sequence[float | str], other: Sequence[float | str]) -> float:
    """Return how far two samples lie apart, from 0 to 1.

    Of numbers it is the Kolmogorov-Smirnov distance, the largest difference of their
    distribution functions; of categories the total variation, half the sum of the differences of
    their shares. Both say which part of the rows would have to change, and do not depend on units.

    Example:
        >>> distance([1.0, 2.0], [2.0, 3.0]), distance(["a", "b"], ["a", "a"])
        (0.5, 0.5)
    """
    if any(isinstance(value, str) for value in (*one, *other)):
        counts = Counter(one), Counter(other)
        return (
            sum(
                abs(counts[0][value] / len(one) - counts[1][value] / len(other))
                for value in counts[0].keys() | counts[1].keys()
            )
            / 2
        )
    sides = [np.sort(np.asarray(side, np.float64)) for side in (one, other)]
    values = np.concatenate(sides)
    below = [np.searchsorted(side, values, side="right") / len(side) for side in sides]
    return float(np.max(np.abs(below[0] - below[1])))


def by_chance(one: Sequence[float | str], other: Sequence[float | str], *, tests: int) -> float:
    """Return how far two independent samples of the same traffic may lie apart.

    Further than this they lie with a probability of at most .01, over all ``tests`` columns. Of
    numbers it is the bound of the Kolmogorov-Smirnov statistic; of categories the mean of the
    total variation, bounded by that of each share, and McDiarmid's bound of what it exceeds it
    by.

    Source: Massart, "The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality", Annals of
    Probability 18 (1990), in its asymptotic form for two samples; McDiarmid, "On the method of
    bounded differences" (1989).

    Args:
        one: A column's values in one sample.
        other: Its values in the other one.
        tests: Number of columns that are looked at.

    Example:
        >>> round(by_chance([1.0] * 1000, [2.0] * 1000, tests=36), 3)
        0.094
        >>> round(by_chance(["a", "b"] * 500, ["a", "b"] * 500, tests=36), 3)
        0.113
    """
    scale = 1 / len(one) + 1 / len(other)
    alpha = _ALPHA / tests
    if not any(isinstance(value, str) for value in (*one, *other)):
        return math.sqrt(math.log(2 / alpha) * scale / 2)
    counts = Counter(one) + Counter(other)
    total = counts.total()
    mean = sum(math.sqrt(n / total * (1 - n / total) * scale) for n in counts.values()) / 2
    return mean + math.sqrt(math.log(1 / alpha) * scale / 2)
