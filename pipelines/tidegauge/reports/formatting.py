"""Formats every number that a person reads, so that a value looks the same everywhere.

Pages, alerts, the command line and reports all use these functions. A value that is missing or
not finite reads "unknown", never 0; a share or an amount that is not 0 never reads as 0, and a
share below all never reads as 100%.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

__all__ = [
    "UNKNOWN",
    "byte_size",
    "count",
    "dollars",
    "duration",
    "interval",
    "milliseconds",
    "moment",
    "number",
    "odds",
    "percent",
    "points",
    "times",
]

UNKNOWN = "unknown"
"""Text for a number that is not known."""

_SECOND_MS = 1_000
_MINUTE = 60
_HOUR = 3_600
_DAY = 86_400
_YEAR = 365 * _DAY
_LEAST_PLAIN = 1e-6
_MOST_PLAIN = 1e15
_LEAST_SHARE = 0.0001


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")


def _digits(value: float, digits: int = 3) -> str:
    """Round to ``digits`` significant digits; the integer part keeps all of its digits."""
    if value == 0:
        return "0"
    # Rounded first: 9.996 has one digit before the point, but what is shown has two.
    size = abs(_rounded(value, digits))
    if not _LEAST_PLAIN <= size < _MOST_PLAIN:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(size)))
    return f"{value:,.{decimals}f}"


def number(value: float | None, digits: int = 3) -> str:
    """Format a number without a unit, with ``digits`` significant digits.

    Example:
        >>> number(1234.5), number(0.01234), number(9.996), number(0)
        ('1,234', '0.0123', '10.0', '0')
        >>> number(1e-12), number(1e30), number(None), number(math.nan)
        ('1.00e-12', '1.00e+30', 'unknown', 'unknown')
    """
    return UNKNOWN if value is None or not math.isfinite(value) else _digits(value, digits)


def count(value: float | None) -> str:
    """Format a whole number with all its digits, as a ledger needs it.

    A mean or an estimate of a count is rounded.

    Example:
        >>> count(0), count(12_345), count(1_234_567_890), count(99.7), count(None)
        ('0', '12,345', '1,234,567,890', '100', 'unknown')
    """
    return UNKNOWN if value is None or not math.isfinite(value) else f"{round(value):,}"


def byte_size(value: float | None) -> str:
    """Format a number of bytes in decimal units.

    Example:
        >>> byte_size(0), byte_size(850), byte_size(12_345), byte_size(999_999), byte_size(None)
        ('0 B', '850 B', '12.3 kB', '1.00 MB', 'unknown')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if _rounded(value, 3) >= size:
            return f"{_digits(value / size)} {unit}"
    return f"{value:.0f} B"


def milliseconds(value: float | None) -> str:
    """Format a measured time, such as a latency, with three significant digits.

    Args:
        value: The time in milliseconds.

    Example:
        >>> milliseconds(4.25), milliseconds(850), milliseconds(999.9), milliseconds(12_340)
        ('4.25 ms', '850 ms', '1.00 s', '12.3 s')
        >>> milliseconds(0), milliseconds(0.0042), milliseconds(600_000), milliseconds(None)
        ('0 ms', '0.00420 ms', '10 min', 'unknown')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if abs(value) >= 2 * _MINUTE * _SECOND_MS:
        return duration(value / _SECOND_MS)
    if abs(_rounded(value, 3)) >= _SECOND_MS:
        return f"{_digits(value / _SECOND_MS)} s"
    return f"{_digits(value)} ms"


def duration(seconds: float | None) -> str:
    """Format how long something lasts or how long ago it was, in one or two whole units.

    A negative duration, as two clocks that disagree give, reads as 0.

    Example:
        >>> duration(0), duration(0.25), duration(42), duration(119.6), duration(3_599.9)
        ('0 s', '250 ms', '42 s', '2 min', '1 h')
        >>> duration(3_725), duration(2_592_000), duration(1e9), duration(1e90), duration(None)
        ('1 h 2 min', '30 days', '32 years', 'more than 1,000 years', 'unknown')
    """
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if 0 < seconds < 1:
        return milliseconds(seconds * _SECOND_MS)
    whole = max(0, round(seconds))
    minutes = round(whole / _MINUTE)
    hours, rest = divmod(minutes, 60)
    forms = (
        (2 * _MINUTE, f"{whole} s"),
        (_HOUR - _MINUTE / 2, f"{minutes} min"),
        (2 * _DAY, f"{hours} h {rest} min" if rest else f"{hours} h"),
        (2 * _YEAR, f"{round(whole / _DAY):,} days"),
        (1_000 * _YEAR, f"{round(whole / _YEAR):,} years"),
    )
    return next((form for limit, form in forms if whole < limit), "more than 1,000 years")


def dollars(value: float | None) -> str:
    """Format an amount in US dollars: in cents, or with two significant digits below a dollar.

    Example:
        >>> dollars(1234.5), dollars(0.999), dollars(0.25), dollars(0.000034), dollars(-3)
        ('$1,234.50', '$1.00', '$0.25', '$0.000034', '-$3.00')
        >>> dollars(0), dollars(1e-9), dollars(None)
        ('$0', '<$0.000001', 'unknown')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if value == 0:
        return "$0"
    if value < 0:
        return f"-{dollars(-value)}"
    if value < _LEAST_PLAIN:
        return "<$0.000001"
    return f"${value:,.2f}" if _rounded(value, 2) >= 1 else f"${_digits(value, 2)}"


def percent(value: float | None) -> str:
    """Format a share of a whole, or a rate, as a percentage.

    One decimal is shown, and a second one below 1% or above 99%.

    Example:
        >>> percent(0), percent(0.5), percent(0.0312), percent(0.0034), percent(1)
        ('0%', '50%', '3.1%', '0.34%', '100%')
        >>> percent(0.999), percent(0.99999), percent(0.00004), percent(None), percent(math.nan)
        ('99.9%', '>99.99%', '<0.01%', 'unknown', 'unknown')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if 0 < value < _LEAST_SHARE:
        return "<0.01%"
    if 1 - _LEAST_SHARE < value < 1:
        return ">99.99%"
    decimals = 2 if 0 < value < 0.01 or 0.99 < value < 1 else 1  # noqa: PLR2004
    shown = f"{100 * value:,.{decimals}f}"
    return f"{shown.rstrip('0').rstrip('.')}%"


def points(value: float | None) -> str:
    """Format a difference of two shares in percentage points, with its sign.

    Example:
        >>> points(0.125), points(-0.03), points(0.0004), points(-1e-17), points(None)
        ('+12.5', '-3', '+0.04', '0', 'unknown')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    decimals = 1 if abs(value) >= 0.001 else 2  # noqa: PLR2004 - a tenth of a point
    shown = f"{100 * value:+.{decimals}f}".rstrip("0").rstrip(".")
    return "0" if shown in {"+", "-", "+0", "-0"} else shown


def times(value: float | None) -> str:
    """Format a ratio of two rates or times; an infinite one began at 0 and reads "new".

    Example:
        >>> times(3.14159), times(0.25), times(0), times(1234.5), times(math.inf), times(None)
        ('3.1 times', '0.25 times', '0 times', '1,234 times', 'new', 'unknown')
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    return "new" if math.isinf(value) else f"{_digits(value, 2)} times"


def odds(probability: float | None) -> str:
    """Format a small probability, such as a p-value, as the odds of one in so many.

    Example:
        >>> odds(0.0002), odds(0.4), odds(1), odds(0), odds(1e-30), odds(None)
        ('1 in 5,000', '1 in 2.5', '1 in 1', 'never', '1 in 1.0e+30', 'unknown')
    """
    if probability is None or not math.isfinite(probability):
        return UNKNOWN
    if probability <= 0:
        return "never"
    events = 1 / probability
    return f"1 in {_digits(events, 2).removesuffix('.0')}"


def interval(low: float | None, high: float | None) -> str:
    """Format both ends of an interval of shares.

    Example:
        >>> interval(0.031, 0.125), interval(0.1, None)
        ('3.1% to 12.5%', 'unknown')
    """
    if low is None or high is None:
        return UNKNOWN
    return f"{percent(low)} to {percent(high)}"


def moment(time_ms: int | None, now_ms: int | None = None) -> str:
    """Format a moment in UTC, without its date when it is of the same day as ``now_ms``.

    Args:
        time_ms: Unix milliseconds.
        now_ms: The reader's time, Unix milliseconds.

    Example:
        >>> moment(1_700_000_000_000), moment(1_700_000_000_000, 1_700_000_900_000), moment(None)
        ('2023-11-14 22:13:20 UTC', '22:13:20 UTC', 'unknown')
    """
    if time_ms is None:
        return UNKNOWN
    then = datetime.fromtimestamp(time_ms / 1000, UTC)
    if now_ms is not None and then.date() == datetime.fromtimestamp(now_ms / 1000, UTC).date():
        return f"{then:%H:%M:%S} UTC"
    return f"{then:%Y-%m-%d %H:%M:%S} UTC"
