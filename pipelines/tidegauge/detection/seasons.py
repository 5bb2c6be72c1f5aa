"""Seasons: which slot of the week or the day a moment falls into, in a time zone.

A time zone may name holidays, which count as Sundays: ISO dates after its name, between spaces, as
in ``Europe/Berlin 2026-12-25 2026-12-26``. ``with_holidays`` writes it that way.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC as _UTC
from datetime import date, datetime
from functools import lru_cache
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tidegauge.detection.errors import TimeZoneError

__all__ = [
    "HOUR_MS",
    "UTC",
    "Season",
    "period_ms",
    "slot_count",
    "slot_of",
    "utc_offset_ms",
    "with_holidays",
]

Season: TypeAlias = Literal["hour-of-week", "hour-of-day", "none"]
"""Which slots a reference has bands for."""

HOUR_MS = 3_600_000
UTC = "UTC"
_SLOTS: dict[Season, int] = {"hour-of-week": 168, "hour-of-day": 24, "none": 1}
_MONDAY = 4 * 24
"""Hours from the epoch, a Thursday, to its first Monday."""
_DAY_HOURS, _SUNDAY = 24, 6
_EPOCH = date(1970, 1, 1)


def period_ms(season: Season) -> int:
    """Return the season's period, milliseconds; 0 without one."""
    return 0 if season == "none" else _SLOTS[season] * HOUR_MS


def slot_count(season: Season) -> int:
    """Return how many slots the season has."""
    return _SLOTS[season]


def slot_of(season: Season, time_ms: int, zone: str = UTC) -> int:
    """Return the slot of a moment: hour of the week counts from Monday 00:00, local time.

    Where clocks are set back, an hour has the same slot twice; where they are set forward, one
    slot has no hour that day. The hours of a holiday have a Sunday's slots.

    Args:
        season: Determines the slots.
        time_ms: Unix milliseconds; for a window, its start.
        zone: Time zone, such as ``Europe/Berlin``, with holidays if there are any.

    Raises:
        TimeZoneError: There is no such time zone.

    Example:
        >>> slot_of("hour-of-week", 4 * 24 * HOUR_MS), slot_of("hour-of-day", 25 * HOUR_MS)
        (0, 1)
        >>> slot_of("hour-of-week", 4 * 24 * HOUR_MS, "UTC 1970-01-05")
        144
    """
    if zone == UTC:
        return (time_ms // HOUR_MS - _MONDAY) % _SLOTS[season]
    name, holidays = _parts(zone)
    local = time_ms // HOUR_MS if name == UTC else _local_hour(name, time_ms)
    slot = (local - _MONDAY) % _SLOTS[season]
    if season == "hour-of-week" and local // _DAY_HOURS in holidays:
        return _SUNDAY * _DAY_HOURS + slot % _DAY_HOURS
    return slot


def with_holidays(zone: str, days: Iterable[date]) -> str:
    """Return a time zone with holidays, which count as Sundays.

    Example:
        >>> with_holidays("Europe/Berlin", [date(2026, 12, 25)])
        'Europe/Berlin 2026-12-25'
    """
    return " ".join([zone, *(day.isoformat() for day in sorted(set(days)))])


def _local_hour(name: str, time_ms: int) -> int:
    return (time_ms + utc_offset_ms(name, time_ms // HOUR_MS)) // HOUR_MS


@lru_cache(maxsize=64)
def _parts(zone: str) -> tuple[str, frozenset[int]]:
    """Return a time zone's name, and its holidays as days since the epoch."""
    name, *days = zone.split(" ")
    try:
        found = [date.fromisoformat(day) for day in days]
    except ValueError as error:
        raise TimeZoneError(f"a holiday is a date such as 2026-12-25: {error}") from error
    return name, frozenset(day.toordinal() - _EPOCH.toordinal() for day in found)


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
