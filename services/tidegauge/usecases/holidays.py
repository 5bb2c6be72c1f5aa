"""Holidays: dates with names, from a file or from a setting."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

from tidegauge.detection.seasons import HOUR_MS, utc_offset_ms
from tidegauge.schemas.operations import ExcludedTime
from tidegauge.usecases.errors import TimeRangeError

__all__ = ["Holiday", "as_times", "read_holidays"]

_EPOCH = date(1970, 1, 1)
_DAY_HOURS = 24
_FORM = "a line is a date and a name, such as 2026-12-25 Christmas Day"

Holiday = tuple[date, str]


def read_holidays(text: str) -> tuple[Holiday, ...]:
    """Return holidays in order.

    Args:
        text: Dates between commas, such as ``2026-12-25,2026-12-26``, or the path of a file with
            a date and a name on each line; empty lines and those that begin with # are left out.

    Raises:
        TimeRangeError: The file cannot be read, or there is no date where one has to be.

    Example:
        >>> read_holidays("2026-12-26, 2026-12-25")[0]
        (datetime.date(2026, 12, 25), '')
    """
    if not text.strip():
        return ()
    if text.strip()[:4].isdecimal():
        return _parsed(((piece, "") for piece in text.split(",")), "the holidays")
    path = Path(text)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TimeRangeError(f"cannot read the holidays {path}: {error}; {_FORM}") from error
    kept = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    parts = (line.partition(" ") for line in kept)
    return _parsed(((day, name) for day, _, name in parts), str(path))


def _parsed(lines: Iterable[tuple[str, str]], where: str) -> tuple[Holiday, ...]:
    found: list[Holiday] = []
    for day, name in lines:
        try:
            found.append((date.fromisoformat(day.strip()), name.strip()))
        except ValueError as error:
            raise TimeRangeError(f"{where}: {day.strip()[:40]!r} is no date; {_FORM}") from error
    return tuple(sorted(set(found)))


def as_times(holidays: Iterable[Holiday], zone: str) -> tuple[ExcludedTime, ...]:
    """Return holidays as times that are left out, from midnight to midnight in a time zone."""
    return tuple(
        ExcludedTime(
            start_ms=_midnight_ms(day, zone),
            end_ms=_midnight_ms(day + timedelta(days=1), zone),
            reason=f"holiday{': ' + name if name else ''}",
        )
        for day, name in holidays
    )


def _midnight_ms(day: date, zone: str) -> int:
    """Return when a day begins; the offset is that of the moment itself, whatever the clocks do."""
    hours = (day - _EPOCH).days * _DAY_HOURS
    guess = hours * HOUR_MS - utc_offset_ms(zone, hours)
    return hours * HOUR_MS - utc_offset_ms(zone, guess // HOUR_MS)
