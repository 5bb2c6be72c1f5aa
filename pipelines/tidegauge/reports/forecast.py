"""The cost of a time to come, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from scipy.special import stdtrit

from tidegauge.cost.bill import GpuPrices
from tidegauge.cost.hourly_bills import HOUR_MS
from tidegauge.cost.prices import usd_of_time

__all__ = ["Forecast", "forecast", "month_end_ms", "month_start_ms"]

_DECEMBER: Final = 12
_CONFIDENCE: Final = 0.9
_FEWEST_HOURS: Final = 6


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a time to come will cost.

    Attributes:
        until_ms: Its end, Unix milliseconds.
        usd: The expected cost; None without a price of time or a whole hour of tokens.
        low_usd: Lower end of the interval that has it with 90%, if hours go on to vary as they
            did; None with too few hours.
        high_usd: Upper end.
    """

    until_ms: int
    usd: float | None
    low_usd: float | None
    high_usd: float | None


def forecast(token_usd: Sequence[float], prices: GpuPrices, start_ms: int, end_ms: int) -> Forecast:
    """Return what a time to come will cost.

    The time of servers costs what their prices say. The cost of tokens in an hour to come is drawn
    as in the past hours: the interval of its sum is Student's prediction interval for independent
    hours. It does not know of weekdays, holidays or growth that the hours do not show.

    Args:
        token_usd: Cost of tokens in past whole hours that are known, of upstreams without a price
            of their time.
        prices: The prices of the upstreams' time.
        start_ms: From when, Unix milliseconds.
        end_ms: Until when.

    Example:
        >>> found = forecast([1.0, 3.0] * 12, {"a:1": 2.0}, 0, 100 * 3_600_000)
        >>> found.usd, round(found.low_usd), round(found.high_usd)
        (400.0, 360, 440)
    """
    certain = sum(usd_of_time(price, start_ms, end_ms) for price in prices.values())
    n, ahead = len(token_usd), max(0, end_ms - start_ms) / HOUR_MS
    if not n and not prices:
        return Forecast(end_ms, None, None, None)
    mean = float(np.mean(token_usd)) if n else 0.0
    usd = certain + mean * ahead
    if n < _FEWEST_HOURS:
        return Forecast(end_ms, usd, None, None)
    if not any(token_usd):
        return Forecast(end_ms, usd, usd, usd)
    spread = float(np.std(token_usd, ddof=1)) * math.sqrt(ahead + ahead**2 / n)
    half = float(stdtrit(n - 1, (1 + _CONFIDENCE) / 2)) * spread
    return Forecast(end_ms, usd, max(certain, usd - half), usd + half)


def month_end_ms(time_ms: int) -> int:
    """Return the end of a time's month in UTC, Unix milliseconds.

    Example:
        >>> month_end_ms(0) == 31 * 86_400_000
        True
    """
    now = datetime.fromtimestamp(time_ms / 1000, UTC)
    year, month = (now.year + 1, 1) if now.month == _DECEMBER else (now.year, now.month + 1)
    return round(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1000)


def month_start_ms(time_ms: int) -> int:
    """Return the start of a time's month in UTC, Unix milliseconds."""
    now = datetime.fromtimestamp(time_ms / 1000, UTC)
    return round(datetime(now.year, now.month, 1, tzinfo=UTC).timestamp() * 1000)
