"""The variance of a ratio over clusters, from sums that add up over any partitioning.

Answers of one conversation resemble each other, so they are no independent evidence. A sketch
cannot hold every conversation, but it can hold sums: each conversation belongs, by a hash, to one
of ``GROUPS`` groups. Groups share no conversation, so their sums are independent whatever happens
within conversations, and the spread of their residuals is the variance of the ratio.

Source: Wolter, "Introduction to Variance Estimation" (2007), chapter 2, random groups.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from tidegauge.schemas.hashing import unit_hash

__all__ = ["GROUPS", "SCALE", "group_of", "group_sum", "ratio_variance"]

GROUPS: Final = 64
"""Number of groups: a standard error from them is itself known to some 9%."""

SCALE: Final = 1_000_000
"""Sums are whole numbers, so that adding them up is exact: amounts are held in millionths."""

_FEWEST: Final = 2


def group_of(customer: str, conversation: str) -> str:
    """Return the group of a conversation, or of an answer without one, as a label.

    Example:
        >>> group_of("acme", "thread-7") == group_of("acme", "thread-7")
        True
    """
    return str(int(unit_hash(f"group\x1f{customer}\x1f{conversation}") * GROUPS))


def group_sum(group: str, amount: float) -> Mapping[str, int]:
    """Return an amount as a sketch's totals hold it: those below 0 have a label of their own.

    Example:
        >>> group_sum("5", 0.25), group_sum("5", -1)
        ({'5': 250000}, {'-5': 1000000})
    """
    whole = round(amount * SCALE)
    return {group: whole} if whole >= 0 else {f"-{group}": -whole}


def ratio_variance(sums: Mapping[str, int], weights: Mapping[str, int]) -> float:
    """Return the variance of ``sum(sums) / sum(weights)``.

    It is the linearised one, ``k / (k - 1) * sum(r^2) / sum(w)^2`` with a group's residual
    ``r = s - ratio * w`` and the number k of groups that hold anything.

    Args:
        sums: Group -> sum of the numerator, as ``group_sum`` writes it.
        weights: Group -> sum of the denominator.

    Returns:
        The variance; infinite with fewer than two groups.

    Example:
        >>> round(ratio_variance({"0": 1, "1": 3}, {"0": 2, "1": 4}), 6)
        0.012346
    """
    whole = sum(weights.values())
    if len(weights) < _FEWEST or whole <= 0:
        return math.inf
    signed = {name: sums.get(name, 0) - sums.get(f"-{name}", 0) for name in weights}
    ratio = sum(signed.values()) / whole
    squares = math.fsum((signed[name] - ratio * weight) ** 2 for name, weight in weights.items())
    return squares / whole**2 * len(weights) / (len(weights) - 1)
