"""Prices: of a server's time, which may depend on when it is, and of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Annotated, Final

import msgspec

from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.exchange import Usage

__all__ = [
    "GpuPrice",
    "Price",
    "PriceError",
    "check_gpu_prices",
    "gpu_usd_per_hour",
    "price_at",
    "usd_of_time",
]

_HOUR_MS: Final = 3_600_000
_DAY_HOURS: Final = 24

_Usd = Annotated[float, msgspec.Meta(ge=0, le=1e9)]


class PriceError(TidegaugeError):
    """A price cannot be used."""


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Price of tokens in USD per million.

    Attributes:
        input: Tokens of the prompt.
        output: Tokens generated, those of the reasoning included.
        cached: Tokens of the prompt from the upstream's cache; None if they cost as much as others.
        reasoning: Generated tokens that are not part of the answer; None if they cost as much as
            others.
        factor: What everything is multiplied by, such as .5 for an upstream that works in batches.
    """

    input: _Usd
    output: _Usd = 0.0
    cached: _Usd | None = None
    reasoning: _Usd | None = None
    factor: _Usd = 1.0

    def of(self, usage: Usage) -> float:
        """Return the cost in USD.

        Example:
            >>> usage = Usage(input_tokens=1_000_000, output_tokens=500_000, cached_tokens=500_000)
            >>> Price(input=1.0, output=2.0).of(usage)
            2.0
            >>> Price(input=1.0, output=2.0, cached=0.1, factor=0.5).of(usage)
            0.775
        """
        # A part that is told as more than its whole is all of it.
        cached = min(usage.cached_tokens or 0, usage.input_tokens)
        reasoning = min(usage.reasoning_tokens or 0, usage.output_tokens)
        cost = usage.input_tokens * self.input + usage.output_tokens * self.output
        if self.cached is not None:
            cost += cached * (self.cached - self.input)
        if self.reasoning is not None:
            cost += reasoning * (self.reasoning - self.output)
        return cost * self.factor / 1e6


class GpuPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Price of a server's time, for as long as it holds.

    Attributes:
        usd: Price of an hour in USD, of all GPUs of the server.
        kind: What it is, such as ``spot`` or ``reserved``.
        start: From when it holds; always if None.
        end: Until when it holds, excluded.
        hours: First and last hour of each day, UTC, at which it holds; the last is excluded, and
            before the first where the hours pass midnight.
    """

    usd: _Usd
    kind: str = ""
    start: datetime | None = msgspec.field(default=None, name="from")
    end: datetime | None = msgspec.field(default=None, name="until")
    hours: tuple[int, int] | None = None

    def holds(self, time_ms: int) -> bool:
        """Whether it holds at a time in Unix milliseconds."""
        if self.start is not None and time_ms < _unix_ms(self.start):
            return False
        if self.end is not None and time_ms >= _unix_ms(self.end):
            return False
        if self.hours is None:
            return True
        first, last = self.hours
        hour = time_ms // _HOUR_MS % _DAY_HOURS
        return first <= hour < last if first <= last else not last <= hour < first


def check_gpu_prices(prices: float | Sequence[GpuPrice]) -> None:
    """Check the prices of a server's time.

    Raises:
        PriceError: There are none, one is negative, or one never holds.
    """
    if isinstance(prices, float | int):
        if not 0 <= prices < float("inf"):
            raise PriceError(f"gpu_usd_per_hour is {prices}: it must be 0 or more")
        return
    if not prices:
        raise PriceError("gpu_usd_per_hour is an empty list: name a price, or leave it out")
    for price in prices:
        hours = price.hours
        if hours and not (0 <= hours[0] < _DAY_HOURS and 0 <= hours[1] <= _DAY_HOURS):
            raise PriceError(
                f"gpu_usd_per_hour: hours {list(hours)} must lie in 0 to 24, as in [22, 6]"
            )
        if hours and hours[0] == hours[1]:
            raise PriceError(f"gpu_usd_per_hour: hours {list(hours)} hold at no time")
        if price.start and price.end and _unix_ms(price.start) >= _unix_ms(price.end):
            raise PriceError(
                f"gpu_usd_per_hour: from {price.start} must lie before until {price.end}"
            )


def gpu_usd_per_hour(prices: float | Sequence[GpuPrice], time_ms: int) -> float | None:
    """Return the price of a server's hour at a time; the last one that holds counts.

    Returns:
        None if none of them holds.

    Example:
        >>> night = GpuPrice(usd=1.0, kind="spot", hours=(22, 6))
        >>> prices = [GpuPrice(usd=2.5), night]
        >>> [gpu_usd_per_hour(prices, hour * 3_600_000) for hour in (3, 12)]
        [1.0, 2.5]
    """
    held = price_at(prices, time_ms)
    return None if held is None else held.usd


def price_at(prices: float | Sequence[GpuPrice], time_ms: int) -> GpuPrice | None:
    """Return the price of a server's time that counts at a time, None if none holds."""
    if isinstance(prices, float | int):
        return GpuPrice(usd=float(prices))
    return next((price for price in reversed(prices) if price.holds(time_ms)), None)


def usd_of_time(prices: float | Sequence[GpuPrice], start_ms: int, end_ms: int) -> float:
    """Return what a server's time costs, in USD.

    Args:
        prices: Price of its hour, or prices by time.
        start_ms: From when, Unix milliseconds.
        end_ms: Until when.

    Example:
        >>> night = GpuPrice(usd=1.0, kind="spot", hours=(22, 6))
        >>> usd_of_time([GpuPrice(usd=2.5), night], 21 * 3_600_000 + 1_800_000, 23 * 3_600_000)
        2.25
    """
    if isinstance(prices, float | int):
        return prices * max(0, end_ms - start_ms) / _HOUR_MS
    changes = {_unix_ms(at) for one in prices for at in (one.start, one.end) if at is not None}
    changes |= set(range(start_ms // _HOUR_MS * _HOUR_MS, end_ms, _HOUR_MS))
    inside = {moment for moment in changes if start_ms < moment < end_ms}
    return sum(
        (gpu_usd_per_hour(prices, since) or 0.0) * (until - since) / _HOUR_MS
        for since, until in pairwise(sorted({start_ms, end_ms, *inside}))
    )


def _unix_ms(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1000)
