"""Ranges of time as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from tidegauge.reports.formatting import moment
from tidegauge.usecases.errors import TimeRangeError

__all__ = ["TimeRange", "parse_moment", "parse_range"]

_AGO = re.compile(r"-(\d{1,6})\s*([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST = 40


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From a moment, included, to another, excluded; Unix milliseconds."""

    start_ms: int
    end_ms: int

    def __str__(self) -> str:
        """Return both ends, in UTC."""
        return f"{moment(self.start_ms)} to {moment(self.end_ms)}"

    def __contains__(self, time_ms: int) -> bool:
        """Whether a moment lies in it."""
        return self.start_ms <= time_ms < self.end_ms


def parse_moment(text: str, now_ms: int) -> int:
    """Return a moment in Unix milliseconds.

    Args:
        text: ``now``, ``-90m`` (units s, m, h, d), or ISO 8601; without an offset it is UTC.
        now_ms: The present.

    Raises:
        TimeRangeError: It is none of these.

    Example:
        >>> parse_moment("-1m", 100_000), parse_moment("1970-01-01T00:01", 0)
        (40000, 60000)
    """
    written = text.strip()[:_LONGEST]
    if written.lower() == "now":
        return now_ms
    if ago := _AGO.fullmatch(written):
        return now_ms - 1000 * int(ago[1]) * _SECONDS[ago[2]]
    try:
        found = datetime.fromisoformat(written)
    except ValueError as error:
        raise TimeRangeError(
            f"{written!r} is no time: write now, -90m (or s, h, d) or 2026-01-31T22:00"
        ) from error
    aware = found if found.tzinfo else found.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)


def parse_range(start: str, end: str, now_ms: int) -> TimeRange:
    """Return the range between two moments, see ``parse_moment``.

    Raises:
        TimeRangeError: One cannot be read, or nothing lies between them.
    """
    found = TimeRange(parse_moment(start, now_ms), parse_moment(end, now_ms))
    if found.start_ms >= found.end_ms:
        raise TimeRangeError(
            f"the range from {start.strip()[:_LONGEST]!r} to {end.strip()[:_LONGEST]!r} is empty: "
            "its start must lie before its end"
        )
    return found
