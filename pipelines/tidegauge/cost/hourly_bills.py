"""Bills of whole hours, kept until an event changes their hour, and merged to longer ones.

A bill of a day reads each minute of each upstream. Most of them have been read before: only the
hours that have changed since are billed anew, mostly the one that is under way. The weights of an
hour are measured in the day up to its end, and stay with its bill.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tidegauge.cost.account import CostAccount
from tidegauge.cost.bill import (
    Bill,
    GpuPrices,
    Weights,
    make_bill,
    merge_bills,
    tokens_of,
)
from tidegauge.cost.shares import busy_minute
from tidegauge.cost.weights import BusyMinute, measure_weights
from tidegauge.schemas.upstream_events import MINUTE_MS

__all__ = ["HOUR_MS", "HourOfBill", "HourlyBills", "unforwarded_tokens"]

HOUR_MS: Final = 3_600_000
_WEIGHED_MS: Final = 24 * HOUR_MS
"""Time in which weights are measured."""


@dataclass(frozen=True, slots=True)
class HourOfBill:
    """One hour's bill, and what it leaves to the sums of several hours.

    Attributes:
        bill: The bill.
        busy: Upstream's label -> its busy minutes.
        told: Upstream's label -> tokens that it counted itself; without those that told none.
        forwarded: Upstream's label -> tokens of its exchanges.
        forwarded_since_told: The same since the first minute in the hour that it told of.
    """

    bill: Bill
    busy: Mapping[str, Sequence[BusyMinute]]
    told: Mapping[str, float]
    forwarded: Mapping[str, int]
    forwarded_since_told: Mapping[str, int]


class HourlyBills:
    """The bills of an account's hours.

    Args:
        account: What the log says of upstreams.
    """

    def __init__(self, account: CostAccount) -> None:
        self.account = account
        self._prices: GpuPrices = {}
        self._judges: frozenset[str] = frozenset()
        self._hours: dict[int, HourOfBill] = {}

    def hours(
        self, prices: GpuPrices, start_ms: int, end_ms: int, judges: Collection[str] = ()
    ) -> list[HourOfBill]:
        """Return the hours of a range, oldest first; those that have changed are billed anew.

        Args:
            prices: The prices of the upstreams' time.
            start_ms: Start of the range, Unix milliseconds, rounded down to an hour.
            end_ms: Its end, rounded down to a minute; the last hour may be a part of one.
            judges: Customers whose requests are judges'.
        """
        first, until = start_ms // HOUR_MS * HOUR_MS, end_ms // MINUTE_MS * MINUTE_MS
        if prices != self._prices or frozenset(judges) != self._judges:
            self._hours.clear()
            self._prices, self._judges = dict(prices), frozenset(judges)
        changed, self.account.changed = self.account.changed, set()
        for hour_ms in changed:
            self._hours.pop(hour_ms, None)
        wanted = range(first, until, HOUR_MS)
        for hour_ms in [one for one in self._hours if one < first - _WEIGHED_MS]:
            del self._hours[hour_ms]
        ends = {hour_ms: min(until, hour_ms + HOUR_MS) for hour_ms in wanted}
        missing = [
            hour_ms
            for hour_ms, end in ends.items()
            if hour_ms not in self._hours or self._hours[hour_ms].bill.end_ms != end
        ]
        for hour_ms in missing:
            self._hours[hour_ms] = self._made(hour_ms, ends[hour_ms])
        return [self._hours[hour_ms] for hour_ms in wanted]

    def _made(self, start_ms: int, end_ms: int) -> HourOfBill:
        work = self.account.work.between(start_ms, end_ms)
        told = self.account.told_tokens(start_ms, end_ms)
        busy: defaultdict[str, list[BusyMinute]] = defaultdict(list)
        forwarded: defaultdict[str, int] = defaultdict(int)
        since_told: defaultdict[str, int] = defaultdict(int)
        for (upstream, minute_ms), minute in work.items():
            total = minute.total()
            if minute.busy:
                busy[upstream].append(busy_minute(minute, total))
            forwarded[upstream] += tokens_of(total)
            if minute_ms >= min(told.get(upstream, [end_ms])):
                since_told[upstream] += tokens_of(total)
        bill = make_bill(
            work,
            self._prices,
            start_ms,
            end_ms,
            idle_shares=self.account.idle_shares(start_ms, end_ms),
            weights=self._weights(start_ms, busy),
            judges=self._judges,
        )
        told_sums = {upstream: sum(minutes.values()) for upstream, minutes in told.items()}
        return HourOfBill(bill, busy, told_sums, forwarded, since_told)

    def _weights(self, hour_ms: int, busy: Mapping[str, Sequence[BusyMinute]]) -> Weights:
        """Return the weights of an hour, measured in the day up to its end."""
        found = {}
        for upstream, lately in busy.items():
            earlier = [
                minute
                for start_ms in range(hour_ms - _WEIGHED_MS + HOUR_MS, hour_ms, HOUR_MS)
                if start_ms in self._hours
                for minute in self._hours[start_ms].busy.get(upstream, ())
            ]
            measured = [*earlier, *lately]
            found[upstream] = measure_weights(measured) if measured else None
        return found

    def lately(self, start_ms: int, end_ms: int) -> Bill:
        """Return the bill of the last hour or more, to the minute, after ``hours`` up to its end.

        Args:
            start_ms: Start of the range, Unix milliseconds, an hour or more before its end.
            end_ms: Its end, that of the hours.
        """
        newest = self._hours[(end_ms // MINUTE_MS * MINUTE_MS - 1) // HOUR_MS * HOUR_MS].bill
        until = newest.start_ms
        before = make_bill(
            self.account.work.between(start_ms // MINUTE_MS * MINUTE_MS, until),
            self._prices,
            start_ms,
            until,
            idle_shares=self.account.idle_shares(start_ms, until),
            weights={one.upstream: one.weights for one in newest.upstreams},
            judges=self._judges,
        )
        return merge_bills([before, newest])


def unforwarded_tokens(hours: Sequence[HourOfBill]) -> dict[str, float]:
    """Return how many tokens the upstreams counted more than their exchanges have.

    Args:
        hours: Hours that follow each other; see ``CostAccount.unforwarded_tokens``.
    """
    found: dict[str, float] = {}
    for hour in hours:
        for upstream in found:
            found[upstream] += hour.told.get(upstream, 0.0) - hour.forwarded.get(upstream, 0)
        for upstream in hour.told.keys() - found.keys():
            found[upstream] = hour.told[upstream] - hour.forwarded_since_told.get(upstream, 0)
    return found
