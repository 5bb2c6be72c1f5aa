"""Limits on requests and tokens a minute and USD a day, reserved before and settled after.

A minute's use is the sliding-window estimate: this minute's count and the part of the last
minute's that still lies within 60 seconds. Tokens and cost are reserved from an estimate; the
settlement adds the difference to what was used to the minute and the day of the reservation.

A request beside others of its key must fit into what is left of the budget; a single one is served
until the budget is spent. So a budget is passed by at most what requests cost more than estimated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from tidegauge.gateway.errors import RefusedError
from tidegauge.gateway.policy.keys import Customer
from tidegauge.gateway.policy.limit_counters import Counters
from tidegauge.schemas.exchange import ErrorKind

__all__ = ["Limiter", "Reservation"]

_MINUTE: Final = 60
_DAY: Final = 86_400
_MICRO: Final = 1_000_000
_MOST_USD: Final = 1e6
_MOST_TOKENS: Final = 1 << 40
_MOST_KEYS: Final = 4096

Headers = list[tuple[bytes, bytes]]


class Reservation(msgspec.Struct, frozen=True):
    """The share of a customer's limits that one request holds.

    Attributes:
        customer: The customer.
        minute: Number of the minute of the reservation.
        tokens: Tokens reserved.
        headers: ``x-ratelimit-…`` headers for the answer.
        day: Number of the day of the reservation.
        micro_usd: Cost reserved, in millionths of a USD.
    """

    customer: Customer
    minute: int
    tokens: int
    headers: Headers
    day: int
    micro_usd: int


class _Limit:
    """One limit of one key.

    Attributes:
        what: ``requests`` or ``tokens``.
        most: The limit per minute.
        counter: The counter's name.
        each: Amount that each request takes; None for the request's number of tokens.
    """

    __slots__ = ("_limit", "_remaining", "_reset", "counter", "each", "most", "what")

    def __init__(self, key_id: str, what: str, most: int) -> None:
        self.what, self.most = what, most
        self.counter = f"{key_id}/{what}"
        self.each = 1 if what == "requests" else None
        self._limit = (f"x-ratelimit-limit-{what}".encode(), b"%d" % most)
        self._remaining = f"x-ratelimit-remaining-{what}".encode()
        self._reset = f"x-ratelimit-reset-{what}".encode()

    def headers(self, remaining: int, reset_seconds: float) -> Headers:
        """Return the answer's headers for this limit."""
        return [
            self._limit,
            (self._remaining, b"%d" % remaining),
            (self._reset, b"%.1fs" % reset_seconds),
        ]


def _limits(customer: Customer) -> tuple[_Limit, ...]:
    mosts = ("requests", customer.requests_per_minute), ("tokens", customer.tokens_per_minute)
    return tuple(_Limit(customer.key_id, what, most) for what, most in mosts if most is not None)


class Limiter:
    """Applies the customers' limits.

    Args:
        counters: Counts the requests, tokens and cost.
        clock: Unix time in seconds, so that replicas agree on the minute.
        when_down: What to do when the counters cannot be reached: ``open`` serves,
            ``closed`` refuses with 429.
        on_failure: Called with the error each time the counters cannot be reached.
    """

    def __init__(
        self,
        counters: Counters,
        clock: Callable[[], float],
        *,
        when_down: Literal["open", "closed"] = "open",
        on_failure: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._when_down = when_down
        self._on_failure = on_failure
        self._limits: dict[str, tuple[Customer, tuple[_Limit, ...]]] = {}
        self._last_costs: dict[str, int] = {}
        self._in_flight: dict[str, int] = {}

    async def reserve(
        self, customer: Customer, tokens: int, cost_usd: float | None = None
    ) -> Reservation | None:
        """Reserve one request, its tokens and its cost from the customer's limits.

        A request that needs more tokens than the whole limit reserves what is left of it.

        Args:
            customer: The customer.
            tokens: The most tokens that the request is expected to use.
            cost_usd: What they cost; None if it is not known, as for servers that are paid by
                the hour. Then as much is reserved as the key's last request cost.

        Returns:
            The reservation to settle; None for a customer without limits.

        Raises:
            RefusedError: A limit is reached; nothing has been reserved.
        """
        if not customer.limited:
            return None
        try:
            return await self._reserve(customer, tokens, cost_usd)
        except RefusedError:
            raise
        except Exception as error:
            self._on_failure(error)
            if self._when_down == "open":
                return None
            raise RefusedError(
                ErrorKind.RATE_LIMITED,
                "the store of the rate limits cannot be reached",
                code="rate_limit_unavailable",
                error_type="rate_limit_error",
                headers=[(b"retry-after", b"5")],
            ) from error

    async def _reserve(
        self, customer: Customer, tokens: int, cost_usd: float | None
    ) -> Reservation:
        now = self._clock()
        minute, day = int(now // _MINUTE), int(now // _DAY)
        if customer.budget_usd_per_day is None:
            tokens, headers = await self._slide(customer, tokens, now)
            return Reservation(customer, minute, tokens, headers, day, 0)
        last = self._last_costs.get(customer.key_id, 0)
        micro_usd = last if cost_usd is None else _micro(cost_usd)
        self._in_flight[customer.key_id] = self._in_flight.get(customer.key_id, 0) + 1
        try:
            await self._reserve_cost(customer, customer.budget_usd_per_day, micro_usd, now)
            try:
                tokens, headers = await self._slide(customer, tokens, now)
            except BaseException:
                await self._counters.add(_budget(customer, day), -micro_usd, 2 * _DAY)
                raise
        except BaseException:
            self._leave(customer)
            raise
        return Reservation(customer, minute, tokens, headers, day, micro_usd)

    async def _slide(self, customer: Customer, tokens: int, now: float) -> tuple[int, Headers]:
        """Reserve a request and its tokens; return the tokens reserved and the headers."""
        minute = int(now // _MINUTE)
        limits = self._limits_of(customer)
        most = customer.tokens_per_minute
        oversized = most is not None and tokens > most
        if most is not None and oversized:
            tokens = most
        amounts = [(limit.counter, limit.each or tokens) for limit in limits]
        counted = await self._counters.slide(minute, amounts)
        passed = min(1.0, now / _MINUTE - minute)
        headers: Headers = []
        for limit, (current, before) in zip(limits, counted, strict=True):
            used = current + int(before * (1 - passed)) if before else current
            taken = limit.each or tokens
            if used > limit.most and oversized and limit.each is None and used - taken < limit.most:
                excess = used - limit.most
                await self._counters.slide(minute, [(limit.counter, -excess)])
                tokens, used = tokens - excess, limit.most
            if used > limit.most:
                await self._counters.slide(minute, [(name, -amount) for name, amount in amounts])
                needed = 1 if oversized and limit.each is None else taken
                raise _refusal(limit, _wait(limit.most, needed, current - taken, before, passed))
            headers += limit.headers(limit.most - used, (used / limit.most) * _MINUTE)
        return tokens, headers

    def _limits_of(self, customer: Customer) -> tuple[_Limit, ...]:
        known, limits = self._limits.get(customer.key_id, (None, ()))
        if known is not customer:  # new, or read again from the file
            limits = _limits(customer)
            self._limits[customer.key_id] = customer, limits
        return limits

    async def _reserve_cost(
        self, customer: Customer, budget: float, micro_usd: int, now: float
    ) -> None:
        """Add a cost to the day's; refuse if it does not fit, or if the budget is spent."""
        day = int(now // _DAY)
        name = _budget(customer, day)
        alone = self._in_flight[customer.key_id] == 1
        most = budget * _MICRO - (1 if alone else micro_usd)
        spent = await self._counters.get(name)
        if spent <= most and micro_usd:
            spent = await self._counters.add(name, micro_usd, 2 * _DAY) - micro_usd
            if spent > most:
                await self._counters.add(name, -micro_usd, 2 * _DAY)
        if spent > most:
            raise RefusedError(
                ErrorKind.RATE_LIMITED,
                f"the key's budget of {budget:g} USD for this UTC day is spent or reserved by "
                "requests in flight",
                code="insufficient_quota",
                error_type="insufficient_quota",
                headers=[(b"retry-after", b"%d" % (_DAY * (day + 1) - now + 1))],
            )

    async def settle(self, reservation: Reservation, tokens: int, cost_usd: float | None) -> None:
        """Replace the reserved tokens and cost by those used.

        A usage below zero is not believed: what was reserved stays counted.
        """
        customer = reservation.customer
        self._leave(customer)
        used = min(tokens, _MOST_TOKENS) if tokens >= 0 else reservation.tokens
        try:
            if customer.tokens_per_minute is not None and used != reservation.tokens:
                amounts = [(f"{customer.key_id}/tokens", used - reservation.tokens)]
                await self._counters.slide(reservation.minute, amounts)
            if customer.budget_usd_per_day is not None:
                await self._settle_cost(reservation, _micro(cost_usd))
        except Exception as error:  # noqa: BLE001 - whatever the store's client raises
            self._on_failure(error)

    def _leave(self, customer: Customer) -> None:
        """Count a request with a budget as no longer in flight."""
        others = self._in_flight.pop(customer.key_id, 0) - 1
        if others > 0:
            self._in_flight[customer.key_id] = others

    async def _settle_cost(self, reservation: Reservation, micro_usd: int) -> None:
        customer, difference = reservation.customer, micro_usd - reservation.micro_usd
        if len(self._last_costs) >= _MOST_KEYS:
            self._last_costs.clear()
        self._last_costs[customer.key_id] = micro_usd
        if difference:
            await self._counters.add(_budget(customer, reservation.day), difference, 2 * _DAY)

    async def close(self) -> None:
        """Close the counters."""
        await self._counters.close()


def _budget(customer: Customer, day: int) -> str:
    """Return the name of the counter of a day's cost."""
    return f"{customer.key_id}/usd/{day}"


def _micro(cost_usd: float | None) -> int:
    """Return a cost in millionths of a USD, between 0 and a million USD; 0 if it is not known."""
    if cost_usd is None or not cost_usd > 0.0:  # false for NaN, too
        return 0
    return round(min(cost_usd, _MOST_USD) * _MICRO)


def _refusal(limit: _Limit, wait: float) -> RefusedError:
    return RefusedError(
        ErrorKind.RATE_LIMITED,
        f"the key's limit of {limit.most} {limit.what} a minute is reached: "
        f"try again in {wait:.0f} s",
        code="rate_limit_exceeded",
        error_type=limit.what,
        headers=[
            (b"retry-after", b"%d" % max(1, -int(-wait // 1))),
            *limit.headers(0, wait),
        ],
    )


def _wait(limit: int, amount: int, current: int, before: int, passed: float) -> float:
    """Return the seconds until ``amount`` fits, if nothing else is reserved meanwhile."""
    if current + amount <= limit and before:
        fits = 1 - (limit - current - amount) / before
        return max(0.0, fits - passed) * _MINUTE
    fits = max(0.0, 1 - (limit - amount) / current) if current else 0.0
    return (1 - passed + fits) * _MINUTE
