"""Seasons: which slot of the week or the day a moment falls into, in a time zone."""

from __future__ import annotations

from datetime import UTC as _UTC
from datetime import datetime
from functools import lru_cache
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tidegauge.detection.errors import TimeZoneError

__all__ = ["HOUR_MS", "UTC", "Season", "period_ms", "slot_count", "slot_of", "utc_offset_ms"]

Season: TypeAlias = Literal["hour-of-week", "hour-of-day", "none"]
"""Which slots a reference has bands for."""

HOUR_MS = 3_600_000
UTC = "UTC"
_SLOTS: dict[Season, int] = {"hour-of-week": 168, "hour-of-day": 24, "none": 1}
_MONDAY = 4 * 24
"""Hours from the epoch, a Thursday, to its first Monday."""


def period_ms(season: Season) -> int:
    """Return the season's period, milliseconds; 0 without one."""
    return 0 if season == "none" else _SLOTS[season] * HOUR_MS


def slot_count(season: Season) -> int:
    """Return how many slots the season has."""
    return _SLOTS[season]


def slot_of(season: Season, time_ms: int, zone: str = UTC) -> int:
    """Return the slot of a moment: hour of the week counts from Monday 00:00, local time.

    Where clocks are set back, an hour has the same slot twice; where they are set forward, one
    slot has no hour that day.

    Args:
        season: Determines the slots.
        time_ms: Unix milliseconds; for a window, its start.
        zone: Time zone, such as ``Europe/Berlin``.

    Raises:
        TimeZoneError: There is no such time zone.

    Example:
        >>> slot_of("hour-of-week", 4 * 24 * HOUR_MS), slot_of("hour-of-day", 25 * HOUR_MS)
        (0, 1)
    """
    local = time_ms if zone == UTC else time_ms + utc_offset_ms(zone, time_ms // HOUR_MS)
    return (local // HOUR_MS - _MONDAY) % _SLOTS[season]


@lru_cache(maxsize=4096)
def utc_offset_ms(zone: str, hour: int) -> int:
    """Return how far a zone's clocks are ahead of UTC.

    Args:
        zone: Time zone, such as ``Europe/Berlin``.
        hour: Hours since the epoch.

    Raises:
        TimeZoneError: There is no such time zone.
    """
    try:
        there = datetime.fromtimestamp(hour * HOUR_MS / 1000, _UTC).astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise TimeZoneError(
            f"there is no time zone {zone!r}: give one such as Europe/Berlin or UTC"
        ) from error
    offset = there.utcoffset()
    return 0 if offset is None else round(offset.total_seconds() * 1000)
