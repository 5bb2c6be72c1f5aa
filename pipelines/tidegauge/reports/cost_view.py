"""What the upstreams do and cost now: the last hours' bill, its hours, and the newest samples."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tidegauge.cost.account import CostAccount
from tidegauge.cost.bill import Bill, GpuPrices, merge_bills
from tidegauge.cost.hourly_bills import HOUR_MS, HourlyBills, unforwarded_tokens
from tidegauge.cost.prices import gpu_usd_per_hour
from tidegauge.cost.upstream_use import UpstreamUse
from tidegauge.reports.bill_tables import DIMENSIONS, GroupCost, costs_by
from tidegauge.reports.forecast import Forecast, forecast, month_end_ms, month_start_ms
from tidegauge.reports.swap_cost import SwapCost, swap_costs
from tidegauge.schemas.upstream_events import UpstreamSample

__all__ = [
    "ALL_CUSTOMERS",
    "BudgetBurn",
    "CostView",
    "HourCost",
    "UpstreamNow",
    "cost_view",
]


ALL_CUSTOMERS: Final = "all"
"""The name of the budget of everything, idle time included."""


@dataclass(frozen=True, slots=True)
class HourCost:
    """What one hour cost.

    Attributes:
        start_ms: Its start, Unix milliseconds.
        usd: Its price, idle time included.
        requests: Exchanges that began in it.
        requests_per_usd: Exchanges for a dollar; None if it cost nothing.
        idle_share: Share of the upstreams' time that was idle; None without any with a price.
    """

    start_ms: int
    usd: float
    requests: int
    requests_per_usd: float | None
    idle_share: float | None


@dataclass(frozen=True, slots=True)
class UpstreamNow:
    """What is known of an upstream now.

    Attributes:
        upstream: Its label.
        usd_per_hour: The present price of its time; None if it has none.
        sample: Its newest sample; None if its metrics are not read.
        silent_seconds: How long it has not answered without a fault, of the time in which it was
            asked; None if its metrics are not read.
        idle_share: Share of the range in which it was idle; None without a price of its time.
        unforwarded_tokens: Tokens that it counted in the range and no gateway forwarded; None if it
            told none.
        use: Its use over the range by its samples; None without any.
    """

    upstream: str
    usd_per_hour: float | None
    sample: UpstreamSample | None
    silent_seconds: float | None
    idle_share: float | None
    unforwarded_tokens: float | None
    use: UpstreamUse | None


@dataclass(frozen=True, slots=True)
class BudgetBurn:
    """How fast a budget is spent.

    A burn rate of 1 spends exactly the budget in the present month. It is over the budget where
    both rates are above 1: the long one shows that it matters, the short one that it goes on
    (Google, "The Site Reliability Workbook", 2018, chapter 5).

    Attributes:
        name: The customer, or ``ALL_CUSTOMERS``.
        usd: The budget of a month.
        spent_usd: What the range cost.
        burn: The burn rate over the range.
        hour_burn: The burn rate over the last hour.
    """

    name: str
    usd: float
    spent_usd: float
    burn: float
    hour_burn: float

    @property
    def over(self) -> bool:
        """Whether more is spent than the budget allows."""
        return self.burn > 1.0 and self.hour_burn > 1.0


@dataclass(frozen=True, slots=True)
class CostView:
    """What the upstreams do and cost, as one value.

    Attributes:
        time_ms: When it was made, Unix milliseconds.
        bill: The bill of the last whole hours and the one under way.
        hours: Its whole hours, oldest first.
        costs: Dimension -> the groups' costs, the dearest first.
        upstreams: The upstreams now.
        forecast: What the time from now to the end of the month, UTC, will cost.
        budgets: How fast the budgets are spent.
        swaps: What swaps of versions changed, the newest first.
    """

    time_ms: int
    bill: Bill
    hours: tuple[HourCost, ...]
    costs: Mapping[str, tuple[GroupCost, ...]]
    upstreams: tuple[UpstreamNow, ...]
    forecast: Forecast
    budgets: tuple[BudgetBurn, ...] = ()
    swaps: tuple[SwapCost, ...] = ()


def cost_view(  # noqa: PLR0913, PLR0917 - bills, prices, a range, and what is configured
    bills: HourlyBills,
    prices: GpuPrices,
    now_ms: int,
    hours: int,
    budgets: Mapping[str, float] = MappingProxyType({}),
    judges: Collection[str] = (),
    *,
    asked: Collection[str] | None = None,
) -> CostView:
    """Return what the upstreams do and cost.

    Args:
        bills: The bills of the last hours.
        prices: The prices of the upstreams' time.
        now_ms: The time.
        hours: How many whole hours the bill is of.
        budgets: Customer, or ``ALL_CUSTOMERS`` -> USD that a month may cost.
        judges: Customers whose requests are judges'.
        asked: Labels of the upstreams whose metrics are still read; None for all with a sample.
    """
    found = bills.hours(prices, now_ms - hours * HOUR_MS, now_ms, judges)
    account, bill = bills.account, merge_bills([hour.bill for hour in found])
    unforwarded = unforwarded_tokens(found)
    used = account.use(bill.start_ms, bill.end_ms)
    idle = {
        one.upstream: one.idle_seconds / one.seconds if one.seconds else None
        for one in bill.upstreams
    }
    newest = {
        label: sample
        for label, sample in account.newest.items()
        if asked is None or label in asked  # the silence of one that was taken out is no fault
    }
    labels = sorted({*prices, *newest, *(key.upstream for key in bill.charges)})
    return CostView(
        time_ms=now_ms,
        bill=bill,
        hours=tuple(_hour(hour.bill) for hour in found if _is_whole(hour.bill)),
        costs={name: tuple(costs_by(bill, name)) for name in DIMENSIONS},
        upstreams=tuple(
            UpstreamNow(
                label,
                gpu_usd_per_hour(prices[label], now_ms) if label in prices else None,
                newest.get(label),
                _silence(account, label, now_ms) if label in newest else None,
                idle.get(label),
                unforwarded.get(label),
                used.get(label),
            )
            for label in labels
        ),
        forecast=forecast(
            [
                hour.bill.token_usd
                for hour in found
                if _is_whole(hour.bill) and hour.bill.start_ms >= account.began_ms
            ],
            prices,
            now_ms,
            month_end_ms(now_ms),
        ),
        budgets=_burns(bill, bills.lately(now_ms - HOUR_MS, now_ms), budgets) if budgets else (),
        swaps=swap_costs(
            bill, ((hour.bill.start_ms, key) for hour in found for key in hour.bill.charges)
        ),
    )


def _burns(bill: Bill, hour: Bill, budgets: Mapping[str, float]) -> tuple[BudgetBurn, ...]:
    spent, lately = _by_customer(bill), _by_customer(hour)
    month_ms = month_end_ms(bill.end_ms) - month_start_ms(bill.end_ms)
    found = []
    for name, usd in sorted(budgets.items()):
        rates = [
            costs.get(name, 0.0) / max(1, one.end_ms - one.start_ms) * month_ms / usd
            for costs, one in ((spent, bill), (lately, hour))
        ]
        found.append(BudgetBurn(name, usd, spent.get(name, 0.0), *rates))
    return tuple(found)


def _by_customer(bill: Bill) -> dict[str, float]:
    charges = bill.by(DIMENSIONS["customer"])
    costs = {name: charge.usd or 0.0 for name, charge in charges.items()}
    return {**costs, ALL_CUSTOMERS: bill.usd}


def _is_whole(bill: Bill) -> bool:
    return bill.end_ms - bill.start_ms == HOUR_MS


def _hour(bill: Bill) -> HourCost:
    requests = sum(charge.work.requests for charge in bill.charges.values())
    seconds = sum(one.seconds for one in bill.upstreams)
    idle = sum(one.idle_seconds for one in bill.upstreams)
    return HourCost(
        start_ms=bill.start_ms,
        usd=bill.usd,
        requests=requests,
        requests_per_usd=requests / bill.usd if bill.usd else None,
        idle_share=idle / seconds if seconds else None,
    )


def _silence(account: CostAccount, label: str, now_ms: int) -> float | None:
    answered = account.answered_ms.get(label)
    return None if answered is None else max(0, now_ms - answered) / 1000
