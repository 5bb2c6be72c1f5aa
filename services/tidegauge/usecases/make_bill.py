"""The bill of a range of time: from the log's work and the configuration's prices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tidegauge.cost.account import CostAccount
from tidegauge.cost.bill import Bill, GpuPrices
from tidegauge.cost.upstream_use import UpstreamUse
from tidegauge.gateway.configuration import Catalog, gpu_prices, load
from tidegauge.reports.cost_sentences import cost_sentences, use_sentences
from tidegauge.reports.forecast import Forecast, forecast
from tidegauge.reports.formatting import count, moment
from tidegauge.reports.swap_cost import SwapCost, swap_costs
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.topics import UPSTREAMS
from tidegauge.schemas.upstream_events import MINUTE_MS, UpstreamSample, UpstreamWork
from tidegauge.usecases.errors import BillError
from tidegauge.usecases.time_range import TimeRange

__all__ = ["LogBill", "bill_of_log", "told_costs"]

_LATE_MS: Final = 24 * 3_600_000
"""How much later than a minute its work may be published: exchanges take time, workers lag.

Samples are of the time at which they are published, so a worker's work of an outage lies behind
samples of the hours in which it was away.
"""


@dataclass(frozen=True, slots=True)
class LogBill:
    """The bill of a range of time that the log holds.

    Attributes:
        bill: The bill.
        prices: The prices of the upstreams' time.
        notes: What a person should know of it.
        swaps: What swaps of versions changed, the newest first.
        hourly_token_usd: Cost of tokens in its whole hours, of upstreams whose time has no price.
        use: The upstream's label -> its use, of those that told.
    """

    bill: Bill
    prices: GpuPrices
    notes: tuple[str, ...]
    swaps: tuple[SwapCost, ...]
    hourly_token_usd: tuple[float, ...]
    use: Mapping[str, UpstreamUse]

    def forecast(self, until_ms: int) -> Forecast:
        """Return what the time from the end of the range to a moment will cost."""
        return forecast(self.hourly_token_usd, self.prices, self.bill.end_ms, until_ms)


def bill_of_log(
    kafka: KafkaSettings, config: Path | None, period: TimeRange, at_ms: int
) -> LogBill:
    """Return the bill of a range of time; of one that goes on, up to now.

    Args:
        kafka: How to reach Kafka.
        config: The gateway's configuration, for the prices of servers; without it only the
            tokens' prices count.
        period: The range, which is cut to whole minutes.
        at_ms: The present.

    Raises:
        BillError: The range has no whole minute, or has not begun.
        LogError: The broker does not answer, or the topic is missing.
        ConfigurationError: The configuration cannot be read.
    """
    asked = period
    if asked.start_ms >= at_ms:
        raise BillError(f"{asked} has not begun: a bill is of time that has passed")
    if asked.end_ms > at_ms:
        period = TimeRange(asked.start_ms, at_ms)
    if period.end_ms // MINUTE_MS <= period.start_ms // MINUTE_MS:
        raise BillError(f"{period} has no whole minute: a bill is made of minutes")
    catalog = Catalog({}) if config is None else load(config, with_keys=False)
    prices = gpu_prices(catalog)
    account, undecodable = _account_of_log(kafka, period)
    bill = account.bill(prices, period.start_ms, period.end_ms, catalog.judges)
    return LogBill(
        bill,
        prices,
        tuple(_notes(asked, bill, account, undecodable)),
        swap_costs(bill, account.seen(bill.start_ms, bill.end_ms)),
        account.hourly_token_usd(prices, bill.start_ms, bill.end_ms),
        account.use(bill.start_ms, bill.end_ms),
    )


def told_costs(kafka: KafkaSettings, config: Path | None, period: TimeRange) -> tuple[str, ...]:
    """Return what a range of time cost and how the servers were used, or why that is not known.

    Args:
        kafka: How to reach Kafka.
        config: The gateway's configuration; None for none.
        period: The range.
    """
    try:
        made = bill_of_log(kafka, config, period, now_ms())
    except TidegaugeError as error:
        return (f"Cost: not known: {error}",)
    return (*cost_sentences(made.bill), *use_sentences(made.use))


def _account_of_log(kafka: KafkaSettings, period: TimeRange) -> tuple[CostAccount, int]:
    """Return the account of a range, and the number of records that could not be read."""
    first_ms = period.start_ms // MINUTE_MS * MINUTE_MS
    account, undecodable = CostAccount(first_ms, period.end_ms), 0
    oldest_ms = reader.oldest_ms(kafka, UPSTREAMS)
    account.began_ms = period.end_ms if oldest_ms is None else oldest_ms
    for record in reader.read(kafka, UPSTREAMS, start_ms=period.start_ms):
        if record.timestamp_ms > period.end_ms + _LATE_MS:
            break
        try:
            event: UpstreamWork | UpstreamSample = decode(
                record.value, UpstreamWork, UpstreamSample
            )
        except DecodeError:
            undecodable += 1
            continue
        account.add(event)
    return account, undecodable


def _notes(asked: TimeRange, bill: Bill, account: CostAccount, undecodable: int) -> Iterator[str]:
    if asked.end_ms >= bill.end_ms + MINUTE_MS:
        yield f"the range goes on to {moment(asked.end_ms)}; the bill ends now"
    if undecodable:
        yield f"{undecodable} records of {UPSTREAMS.name} could not be read"
    first = min((start_ms for _, start_ms in account.work.minutes), default=None)
    if first is None:
        yield "the log holds no work of this time: it was idle, or no worker measured it"
    elif first >= bill.start_ms + MINUTE_MS:
        yield f"the first exchange that the log holds of this time is of {moment(first)}"
    if bill.unpriced:
        yield (
            f"no price: {', '.join(bill.unpriced)}; give a price or gpu_usd_per_hour in the "
            "gateway's configuration, and name that file"
        )
    yield from _unknown_work(bill, account)


def _unknown_work(bill: Bill, account: CostAccount) -> Iterator[str]:
    for label, requests in sorted(_without_usage(bill).items()):
        yield f"{label}: the tokens of {count(requests)} requests are not known"
    for label, tokens in sorted(account.unforwarded_tokens(bill.start_ms, bill.end_ms).items()):
        if tokens >= 1:
            yield (
                f"{label} counted {count(tokens)} tokens that came by no gateway and no judge; "
                "what they cost is in the residual"
            )
    for one in bill.upstreams:
        if one.weights is not None and not one.weights.measured:
            yield (
                f"{one.upstream}: too few busy minutes to measure what its time is spent on, so "
                "a step counts as much as 100 tokens of a prompt"
            )


def _without_usage(bill: Bill) -> dict[str, int]:
    """Return of how many requests that did not fail no tokens are known, by upstream."""
    found: defaultdict[str, int] = defaultdict(int)
    for key, charge in bill.charges.items():
        if key.line != "failed" and charge.work.without_usage:
            found[key.upstream] += charge.work.without_usage
    return found
