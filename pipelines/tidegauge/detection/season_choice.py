"""Chooses a baseline's season: the simplest slots that explain how its rates change by the hour.

Slots cost power: each has a band of its own, from a part of the events. So they are used where
they explain something only. The rates of single hours are compared: those of the slots' means
with the mean of the simpler season, and those of hours with the mean of their slot. Waves are in
both, so that they are not taken for a season.

Source: Fisher's analysis of variance of Pearson residuals, weighted by trials.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from tidegauge.detection.seasons import HOUR_MS, UTC, Season, slot_of

__all__ = ["choose_season"]

Counts: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]

_DAY_MS = 24 * HOUR_MS
_WEEKLY_SPAN_MS, _WEEKLY_EVENTS = 14 * _DAY_MS, 20_000
_DAILY = ((3 * _DAY_MS, 5_000), (7 * _DAY_MS, 2_400))
"""Spans of a baseline and how many events each needs for hours of the day: a hundred a slot, and
twice as many where a slot was seen three times only."""
_SIGNIFICANT = 0.01
"""Chance that rates without a season seem to have one, over all indicators of a reference."""
_FEWEST_HITS = 1.0
"""Mean hits, and mean misses, of an hour for an indicator's rates to be compared."""


def choose_season(
    hits: Counts, trials: Counts, times_ms: Counts | None, *, zone: str = UTC
) -> Season:
    """Return the season of a baseline: of those that it is long enough for, what it shows.

    Args:
        hits: Hits by window, shape (B, J).
        trials: Trials by window, shape (B, J).
        times_ms: Start of each window, shape (B,); None when the events have no times.
        zone: Time zone of the slots.
    """
    if times_ms is None:
        return "none"
    span = int(times_ms.max() - times_ms.min())
    events = int(trials.sum(axis=0).max())
    # A span ends where its last window starts, so a full period is short by one window.
    if not any(span >= least - HOUR_MS and events >= fewest for least, fewest in _DAILY):
        return "none"
    hours = _hours(hits, trials, times_ms, zone)
    weekly = span >= _WEEKLY_SPAN_MS - HOUR_MS and events >= _WEEKLY_EVENTS
    if weekly and _explains(hours, hours.week, hours.day):
        return "hour-of-week"
    return "hour-of-day" if _explains(hours, hours.day, np.zeros_like(hours.day)) else "none"


class _Hours(NamedTuple):
    """Counts by hour, H of them: hits and trials, shape (H, J), and their slots, shape (H,)."""

    hits: Floats
    trials: Floats
    week: Counts
    day: Counts


def _hours(hits: Counts, trials: Counts, times_ms: Counts, zone: str) -> _Hours:
    week = np.array([slot_of("hour-of-week", int(time), zone) for time in times_ms], np.int64)
    # Where clocks are not set by whole hours, an hour of UTC has parts in two slots.
    (slots, _), found = np.unique(
        np.stack([week, times_ms // HOUR_MS]), axis=1, return_inverse=True
    )
    place = found.ravel().astype(np.int64)
    day = slots % (_DAY_MS // HOUR_MS)
    return _Hours(_sums(hits, place), _sums(trials, place), slots, day)


def _sums(table: Counts | Floats, groups: Counts) -> Floats:
    found = np.zeros((int(groups.max()) + 1, table.shape[1]))
    np.add.at(found, groups, table)
    return found


def _explains(hours: _Hours, slots: Counts, wider: Counts) -> bool:
    """Return whether slots explain more of any indicator's rates than wider ones do.

    Args:
        hours: Counts by hour.
        slots: Slot of each hour, shape (H,).
        wider: Its wider slot, which holds the whole of the other.
    """
    misses = hours.trials - hours.hits
    kept = np.minimum(hours.hits.mean(axis=0), misses.mean(axis=0)) >= _FEWEST_HITS
    n = hours.trials[:, kept]
    rate = hours.hits[:, kept] / np.maximum(n, 1)
    own, usual = _means(rate, n, slots), _means(rate, n, wider)
    between = (n * (own - usual) ** 2).sum(axis=0)
    within = (n * (rate - own) ** 2).sum(axis=0)
    size, parts, whole = len(slots), len(np.unique(slots)), len(np.unique(wider))
    if not kept.any() or parts in {whole, size}:
        return False
    ratio = between / (parts - whole) / np.maximum(within / (size - parts), 1e-300)
    chance = fdtrc(parts - whole, size - parts, ratio)
    return bool(chance.min() < _SIGNIFICANT / len(kept))


def _means(rate: Floats, trials: Floats, slots: Counts) -> Floats:
    """Return the mean rate of each hour's slot, weighted by trials, shape (H, J)."""
    sums = _sums(rate * trials, slots) / np.maximum(_sums(trials, slots), 1)
    return np.asarray(sums[slots])
