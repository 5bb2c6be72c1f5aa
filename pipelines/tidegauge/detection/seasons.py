"""Seasons: which slot of the week or the day a moment falls into, in UTC."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["HOUR_MS", "Season", "period_ms", "slot_count", "slot_of"]

Season: TypeAlias = Literal["hour-of-week", "hour-of-day", "none"]
"""Which slots a reference has bands for."""

HOUR_MS = 3_600_000
_SLOTS: dict[Season, int] = {"hour-of-week": 168, "hour-of-day": 24, "none": 1}
_MONDAY = 4 * 24
"""Hours from the epoch, a Thursday, to its first Monday."""


def period_ms(season: Season) -> int:
    """Return the season's period, milliseconds; 0 without one."""
    return 0 if season == "none" else _SLOTS[season] * HOUR_MS


def slot_count(season: Season) -> int:
    """Return how many slots the season has."""
    return _SLOTS[season]


def slot_of(season: Season, time_ms: int) -> int:
    """Return the slot of a moment: hour of the week counts from Monday 00:00 UTC.

    Args:
        season: Determines the slots.
        time_ms: Unix milliseconds; for a window, its start.

    Example:
        >>> slot_of("hour-of-week", 4 * 24 * HOUR_MS), slot_of("hour-of-day", 25 * HOUR_MS)
        (0, 1)
    """
    return (time_ms // HOUR_MS - _MONDAY) % _SLOTS[season]
