"""Two versions one after the other: a difference of rates over hours of the day.

Requests of one hour share its load and its incidents, so the unit is the hour. An hour of the new
version is compared with the old version's at the same time of day, on working days or weekends
alike. Hours that follow each other are alike too. The variance of their mean is therefore measured
over blocks of one hour to a day, as the variance of a block's mean times the block's length, and
the largest upper bound over these lengths is used: it covers waves as long as the longest length
of which there are enough blocks, and is wide where these are few.

The difference is a Brownian motion in its information (the inverse of its variance; Jennison and
Turnbull, "Group sequential methods", 1999, chapter 3), so that Robbins' normal mixture bounds it
at all times at once. Both hold in the limit of many hours; the upper bound of the variance is
what keeps the errors below ``alpha`` with few.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
from scipy.special import chdtri

__all__ = ["BeforeAfter", "HourCounts", "comparable_from", "compare_hours"]

_DAY, _WEEK, _THURSDAY, _WEEKEND = 24, 7, 3, 5
_BLOCK_HOURS = (1, 2, 3, 4, 6, 8, 12, 24)
_FEWEST_FREE = 9
"""Degrees of freedom that the variance at a block's length must have."""
_SHORTEST_WAVE_HOURS = 2
"""Hours alone never tell the variance: at least blocks of this length must."""
_ALPHA_VARIANCE = 0.05
_FEWEST_EVENTS = 5
_PRIOR_SD = 0.15
"""Standard deviation of the differences of rates that the mixture expects."""

Slot: TypeAlias = tuple[bool, int]


class HourCounts(msgspec.Struct, frozen=True, array_like=True):
    """The counts of one hour; on the wire an array, in this order.

    Attributes:
        hour: Hours since 1970.
        hits: Events that show the property.
        trials: Events looked at.
    """

    hour: int
    hits: int
    trials: int


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """The comparison of a version's hours with the hours of the version before.

    Attributes:
        hours: The new version's hours that could be compared.
        blocks: Blocks by which the variance is known; 0 where there are too few.
        old_rate: Mean rate of the old version at these times of day; None without hours.
        new_rate: Mean rate of the new version; None without hours.
        low: Lower end of the interval of new minus old, -1 where it is unknown.
        high: Upper end.
    """

    hours: int = 0
    blocks: int = 0
    old_rate: float | None = None
    new_rate: float | None = None
    low: float = -1.0
    high: float = 1.0


def _slot(hour: int) -> Slot:
    """Return whether an hour is at a weekend, and which hour of the day it is, in UTC."""
    day = (hour // _DAY + _THURSDAY) % _WEEK  # day 0 was a Thursday
    return day >= _WEEKEND, hour % _DAY


def compare_hours(
    old: Iterable[HourCounts], new: Iterable[HourCounts], *, alpha: float
) -> BeforeAfter:
    """Compare the whole hours of two versions.

    Args:
        old: Hours of the version before.
        new: Hours of the new version.
        alpha: Chance that the interval ever misses the difference.
    """
    before, after = _rates(old), _rates(new)
    repeats = Counter(_slot(hour) for hour in before)
    sums: defaultdict[Slot, float] = defaultdict(float)
    for hour, rate in before.items():
        sums[_slot(hour)] += rate
    normal = {slot: sums[slot] / n for slot, n in repeats.items()}
    compared = {h: r - normal[_slot(h)] for h, r in after.items() if _slot(h) in normal}
    if not compared:
        return BeforeAfter()
    estimate = float(np.mean(list(compared.values())))
    found = {
        "hours": len(compared),
        "old_rate": float(np.mean([normal[_slot(hour)] for hour in compared])),
        "new_rate": float(np.mean([after[hour] for hour in compared])),
    }
    left_before = {
        hour: rate - normal[_slot(hour)]
        for hour, rate in before.items()
        if repeats[_slot(hour)] > 1
    }
    left_after = {
        hour: (one - estimate) / math.sqrt(1 + 1 / repeats[_slot(hour)])
        for hour, one in compared.items()
    }
    variance, blocks = _variance_of_an_hour(left_before, left_after)
    if not blocks:
        return BeforeAfter(**found)  # type: ignore[arg-type] # numbers as declared
    at = Counter(_slot(hour) for hour in compared)
    weight = sum(n / len(compared) ** 2 * (1 + n / repeats[slot]) for slot, n in at.items())
    information = 1 / max(variance * weight, 1e-12)
    prior = 1 / _PRIOR_SD**2
    total = information + prior
    half = math.sqrt(total * math.log(total / prior / alpha**2)) / information
    return BeforeAfter(
        **found,  # type: ignore[arg-type] # numbers as declared
        blocks=blocks,
        low=max(-1.0, estimate - half),
        high=min(1.0, estimate + half),
    )


def _rates(hours: Iterable[HourCounts]) -> dict[int, float]:
    return {one.hour: one.hits / one.trials for one in hours if one.trials >= _FEWEST_EVENTS}


def _variance_of_an_hour(
    before: Mapping[int, float], after: Mapping[int, float]
) -> tuple[float, int]:
    """Return an upper bound of the variance that an hour adds to a sum, and its blocks.

    Args:
        before: What is left of the old version's rates without the time of day, by hour.
        after: The same of the new version's, without the difference as well.

    Returns:
        The largest bound over the lengths that have enough blocks; no blocks where none has that
        is longer than an hour.
    """
    largest, known = 0.0, 0
    for length in _BLOCK_HOURS:
        old, new = _means(before, length), _means(after, length)
        times = {_slot(block * length) for block in old}
        free = max(0, len(old) - len(times)) + max(0, len(new) - 1)
        if free < _FEWEST_FREE:
            continue
        squares = sum(mean**2 * length for mean in (*old.values(), *new.values()))
        largest = max(largest, squares / float(chdtri(free, 1 - _ALPHA_VARIANCE)))
        if length >= _SHORTEST_WAVE_HOURS:
            known = free
    return largest, known


def _means(left: Mapping[int, float], length: int) -> dict[int, float]:
    """Return the mean of each block of so many hours of which every hour is known."""
    blocks: defaultdict[int, list[float]] = defaultdict(list)
    for hour, value in left.items():
        blocks[hour // length].append(value)
    return {block: sum(v) / length for block, v in blocks.items() if len(v) == length}


def comparable_from(old: Sequence[HourCounts], hour: int) -> int | None:
    """Return the first hour from ``hour`` on that has a counterpart; None within a week."""
    slots = {_slot(one) for one in _rates(old)}
    return next((h for h in range(hour, hour + _WEEK * _DAY) if _slot(h) in slots), None)
