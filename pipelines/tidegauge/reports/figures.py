"""Numbers as a tired person reads them: two or three digits, the unit beside them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

__all__ = [
    "NONE",
    "count",
    "dollars",
    "duration",
    "interval",
    "milliseconds",
    "moment",
    "number",
    "percent",
    "points",
    "times",
]

NONE = "\N{EN DASH}"
"""Stands for a number that is not known; an unknown number is never shown as 0."""

_SECOND = 1_000
_MINUTE = 60
_HOUR = 3_600
_DAY = 86_400
_YEAR = 365 * _DAY


def _digits(value: float, digits: int = 3) -> str:
    """Return the value with so many significant digits, and no exponent."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many significant digits.

    Example:
        >>> number(1234.5), number(0.01234), number(None) == NONE
        ('1,234', '0.0123', True)
    """
    if value is None or not math.isfinite(value):
        return NONE
    return _digits(value, digits)


def count(value: int | None) -> str:
    """Return a whole number, short from a hundred thousand on.

    Example:
        >>> count(12_345), count(1_234_567)
        ('12,345', '1.23 M')
    """
    if value is None:
        return NONE
    for size, letter in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if abs(value) >= max(size, 100_000):
            return f"{_digits(value / size)} {letter}"
    return f"{value:,}"


def milliseconds(value: float | None) -> str:
    """Return a time of so many milliseconds.

    Example:
        >>> milliseconds(4.25), milliseconds(850), milliseconds(12_340)
        ('4.25 ms', '850 ms', '12.3 s')
    """
    if value is None or not math.isfinite(value):
        return NONE
    if abs(value) >= _SECOND:
        return f"{_digits(value / _SECOND)} s"
    return f"{_digits(value)} ms"


def dollars(value: float | None) -> str:
    """Return an amount in US dollars, small ones with two significant digits.

    Example:
        >>> dollars(1234.5), dollars(0.000034), dollars(0.0)
        ('$1,234.50', '$0.000034', '$0')
    """
    if value is None or not math.isfinite(value):
        return NONE
    if value == 0:
        return "$0"
    return f"${value:,.2f}" if abs(value) >= 1 else f"${_digits(value, 2)}"


def percent(value: float | None) -> str:
    """Return a share as a percentage; what is not 0 never reads as 0, nor as all.

    Example:
        >>> percent(0.5), percent(0.0312), percent(0.00004), percent(0.99999)
        ('50%', '3.1%', '<0.01%', '>99.99%')
    """
    if value is None or not math.isfinite(value):
        return NONE
    if 0 < value < 0.0001:  # noqa: PLR2004 - the least that two decimals show
        return "<0.01%"
    if 0.9999 < value < 1:  # noqa: PLR2004 - the same from above
        return ">99.99%"
    whole = 100 * value
    decimals = 2 if 0 < whole < 1 or 99 < whole < 100 else 1  # noqa: PLR2004
    shown = f"{whole:.{decimals}f}"
    return f"{shown.removesuffix('.0')}%"


def points(value: float | None) -> str:
    """Return a difference of shares in percentage points, with its sign.

    Example:
        >>> points(0.125), points(-0.031)
        ('+12.5', '-3.1')
    """
    return NONE if value is None or not math.isfinite(value) else f"{100 * value:+.1f}"


def times(value: float | None) -> str:
    """Return a ratio of rates.

    Example:
        >>> times(3.14159), times(0.25), times(math.inf)
        ('3.1 times', '0.25 times', 'new')
    """
    if value is None or math.isnan(value):
        return NONE
    return "new" if math.isinf(value) else f"{_digits(value, 2)} times"


def interval(low: float | None, high: float | None) -> str:
    """Return both ends of an interval of shares.

    Example:
        >>> interval(0.031, 0.125)
        '3.1% to 12.5%'
    """
    if low is None or high is None:
        return NONE
    return f"{percent(low)} to {percent(high)}"


def duration(seconds: float | None) -> str:
    """Return how long something lasts, in the two largest units that matter.

    Example:
        >>> duration(42), duration(3_725), duration(2_592_000)
        ('42 s', '1 h 2 min', '30 days')
    """
    if seconds is None or not math.isfinite(seconds):
        return NONE
    whole = max(0, round(seconds))
    hours, minutes = whole // _HOUR, whole % _HOUR // _MINUTE
    forms = (
        (2 * _MINUTE, f"{whole} s"),
        (_HOUR, f"{minutes} min"),
        (2 * _DAY, f"{hours} h {minutes} min" if minutes else f"{hours} h"),
        (2 * _YEAR, f"{round(whole / _DAY):,} days"),
        (1_000 * _YEAR, f"{round(whole / _YEAR):,} years"),
    )
    return next((form for limit, form in forms if whole < limit), "more than 1,000 years")


def moment(time_ms: int | None, now_ms: int | None = None) -> str:
    """Return a time in UTC, without its date when that is also ``now_ms``'s.

    Example:
        >>> moment(1_700_000_000_000), moment(1_700_000_000_000, 1_700_000_900_000)
        ('2023-11-14 22:13:20 UTC', '22:13:20 UTC')
    """
    if time_ms is None:
        return NONE
    then = datetime.fromtimestamp(time_ms / 1000, UTC)
    if now_ms is not None and then.date() == datetime.fromtimestamp(now_ms / 1000, UTC).date():
        return f"{then:%H:%M:%S} UTC"
    return f"{then:%Y-%m-%d %H:%M:%S} UTC"
