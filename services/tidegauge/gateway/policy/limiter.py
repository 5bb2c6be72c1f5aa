"""Limits on requests and tokens a minute and USD a day, reserved before and settled after.

A minute's use is the sliding-window estimate: this minute's count and the part of the last
minute's that still lies within 60 seconds. Tokens are reserved from an estimate; the
settlement adds the difference to the true usage to the minute of the reservation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from tidegauge.gateway.errors import RefusedError
from tidegauge.gateway.policy.counters import Counters
from tidegauge.gateway.policy.keys import Customer
from tidegauge.schemas.exchange import ErrorKind

__all__ = ["Limiter", "Reservation"]

_MINUTE: Final = 60
_DAY: Final = 86_400
_MICRO: Final = 1_000_000

Headers = list[tuple[bytes, bytes]]


class Reservation(msgspec.Struct, frozen=True):
    """The share of a customer's limits that one request holds.

    Attributes:
        customer: The customer.
        minute: Number of the minute of the reservation.
        tokens: Tokens reserved.
        headers: ``x-ratelimit-…`` headers for the answer.
    """

    customer: Customer
    minute: int
    tokens: int
    headers: Headers


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

    async def reserve(self, customer: Customer, tokens: int) -> Reservation | None:
        """Reserve one request and its tokens from the customer's limits.

        A request that needs more tokens than the whole limit reserves all of the limit.

        Returns:
            The reservation to settle; None for a customer without limits.

        Raises:
            RefusedError: A limit is reached; nothing has been reserved.
        """
        if not customer.limited:
            return None
        try:
            return await self._reserve(customer, tokens)
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

    async def _reserve(self, customer: Customer, tokens: int) -> Reservation:
        now = self._clock()
        minute = int(now // _MINUTE)
        if customer.budget_usd_per_day is not None:
            await self._refuse_spent(customer, customer.budget_usd_per_day, now)
        limits = self._limits_of(customer)
        most = customer.tokens_per_minute
        if most is not None and tokens > most:
            tokens = most
        amounts = [(limit.counter, limit.each or tokens) for limit in limits]
        counted = await self._counters.slide(minute, amounts)
        passed = min(1.0, now / _MINUTE - minute)
        headers: Headers = []
        for limit, (current, before) in zip(limits, counted, strict=True):
            used = current + int(before * (1 - passed)) if before else current
            if used > limit.most:
                await self._counters.slide(minute, [(name, -taken) for name, taken in amounts])
                amount = limit.each or tokens
                raise _refusal(limit, _wait(limit.most, amount, current - amount, before, passed))
            headers += limit.headers(limit.most - used, (used / limit.most) * _MINUTE)
        return Reservation(customer, minute, tokens, headers)

    def _limits_of(self, customer: Customer) -> tuple[_Limit, ...]:
        known, limits = self._limits.get(customer.key_id, (None, ()))
        if known is not customer:  # new, or read again from the file
            limits = _limits(customer)
            self._limits[customer.key_id] = customer, limits
        return limits

    async def _refuse_spent(self, customer: Customer, budget: float, now: float) -> None:
        day = int(now // _DAY)
        spent = await self._counters.get(f"{customer.key_id}/usd/{day}") / _MICRO
        if spent >= budget:
            raise RefusedError(
                ErrorKind.RATE_LIMITED,
                f"the key's budget of {budget:g} USD for this UTC day is spent",
                code="insufficient_quota",
                error_type="insufficient_quota",
                headers=[(b"retry-after", b"%d" % (_DAY * (day + 1) - now + 1))],
            )

    async def settle(self, reservation: Reservation, tokens: int, cost_usd: float | None) -> None:
        """Replace the reserved tokens by the tokens used, and count the cost."""
        customer, difference = reservation.customer, tokens - reservation.tokens
        try:
            if customer.tokens_per_minute is not None and difference:
                amounts = [(f"{customer.key_id}/tokens", difference)]
                await self._counters.slide(reservation.minute, amounts)
            if customer.budget_usd_per_day is not None and cost_usd:
                day = int(self._clock() // _DAY)
                name = f"{customer.key_id}/usd/{day}"
                await self._counters.add(name, round(cost_usd * _MICRO), 2 * _DAY)
        except Exception as error:  # noqa: BLE001 - whatever the store's client raises
            self._on_failure(error)

    async def close(self) -> None:
        """Close the counters."""
        await self._counters.close()


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
