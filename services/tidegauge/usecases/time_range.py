"""Ranges of time as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from tidegauge.reports.formatting import duration, moment
from tidegauge.usecases.errors import TimeRangeError

__all__ = ["TimeRange", "check_held", "parse_moment", "parse_range"]

_AGO = re.compile(r"-(\d{1,6})\s*([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LONGEST = 40
_MISSING_PART, _MISSING_MS = 0.1, 60_000
"""A range may lack this part at its start, or this long."""


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
        TimeRangeError: It is none of these, or a date before 1970.

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
    time_ms = round(aware.timestamp() * 1000)
    if time_ms < 0:
        raise TimeRangeError(f"{written!r} lies before 1970: no log holds anything of that time")
    return time_ms


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


def check_held(start_ms: int, end_ms: int, first_ms: int) -> None:
    """Check that the log holds a range from about its start.

    Args:
        start_ms: Start of the range that was asked for, Unix milliseconds.
        end_ms: Its end.
        first_ms: Time of the first event that the log holds of it.

    Raises:
        TimeRangeError: More than a tenth of the range, and more than a minute, is missing.

    Example:
        >>> check_held(0, 600_000, 30_000)
        >>> try:
        ...     check_held(0, 600_000, 300_000)
        ... except TimeRangeError as error:
        ...     print(str(error).partition(":")[0])
        the log holds 5 min of the 10 min asked for
    """
    if first_ms - start_ms <= max(_MISSING_PART * (end_ms - start_ms), _MISSING_MS):
        return
    held, asked = ((end_ms - one) / 1000 for one in (first_ms, start_ms))
    begins = datetime.fromtimestamp(first_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    raise TimeRangeError(
        f"the log holds {duration(held)} of the {duration(asked)} asked for: give --from {begins} "
        "to use them, or build when it holds more"
    )
