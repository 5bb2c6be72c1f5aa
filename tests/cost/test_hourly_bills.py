"""Bills of hours are kept, and merge to the bill of their range."""

from __future__ import annotations

import numpy as np
import pytest

from tidegauge.cost.account import CostAccount
from tidegauge.cost.bill import Bill, merge_bills
from tidegauge.cost.hourly_bills import HOUR_MS, HourlyBills, unforwarded_tokens
from tidegauge.schemas.upstream_events import (
    MINUTE_MS,
    UpstreamMinute,
    UpstreamSample,
    UpstreamWork,
    WorkAmounts,
    WorkRow,
)

UPSTREAMS = ("a:1", "b:1", "api.example")
PRICES = {"a:1": 60.0, "b:1": 30.0}
HOURS = 5
NOW_MS = HOURS * HOUR_MS + 7 * MINUTE_MS


class Log:
    """Draws work, and numbers its events."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(5)
        self.sequence = 0

    def work(self, minute: int) -> UpstreamWork:
        self.sequence += 1
        found = []
        for upstream in UPSTREAMS:
            rows = tuple(
                WorkRow("m/v1//", customer, "served", self.amounts()) for customer in "xyz"
            )
            busy = self.rng.bytes(150)
            found.append(UpstreamMinute(upstream, minute * MINUTE_MS, busy, busy, rows))
        return UpstreamWork(
            producer_id="vitals/0",
            sequence=self.sequence,
            time_ms=self.sequence,
            minutes=tuple(found),
        )

    def amounts(self) -> WorkAmounts:
        prompt, output, nanousd = self.rng.integers(1, 1_000, 3).tolist()
        return WorkAmounts(
            requests=1,
            prompt_tokens=prompt,
            output_tokens=output,
            decoding_ms=output * 10,
            nanousd=nanousd,
        )


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def account(log: Log) -> CostAccount:
    account = CostAccount(0, 2**62)
    for minute in range(NOW_MS // MINUTE_MS):
        account.add(log.work(minute))
    return account


def facts(bill: Bill) -> dict[str, list[float]]:
    return {
        one.upstream: [one.seconds, one.usd, one.busy_seconds, one.idle_usd]
        for one in bill.upstreams
    }


def test_the_hours_merge_to_the_bill_of_their_range(account: CostAccount) -> None:
    found = HourlyBills(account).hours(PRICES, 0, NOW_MS)
    merged, whole = merge_bills([hour.bill for hour in found]), account.bill(PRICES, 0, NOW_MS)
    assert (merged.start_ms, merged.end_ms) == (whole.start_ms, whole.end_ms)
    assert merged.usd == pytest.approx(whole.usd)
    for upstream, numbers in facts(whole).items():
        assert facts(merged)[upstream] == pytest.approx(numbers)
    assert merged.charges.keys() == whole.charges.keys()
    for key, charge in whole.charges.items():
        assert merged.charges[key].work == charge.work
        assert merged.charges[key].usd == pytest.approx(charge.usd, rel=0.1)
    assert [one.weights.measured for one in merged.upstreams if one.weights] == [True, True]


def test_only_hours_that_have_changed_are_billed_anew(account: CostAccount, log: Log) -> None:
    bills = HourlyBills(account)
    before = bills.hours(PRICES, 0, NOW_MS)
    again = bills.hours(PRICES, 0, NOW_MS)
    assert all(one is other for one, other in zip(before, again, strict=True))
    account.add(log.work(2 * 60 + 1))
    after = bills.hours(PRICES, 0, NOW_MS + MINUTE_MS)
    assert [one is not other for one, other in zip(before, after, strict=True)] == [
        *(False, False, True, False, False),
        True,  # it has become longer
    ]
    assert sum(charge.work.requests for charge in after[2].bill.charges.values()) == 9 * 60 + 9


def test_other_prices_bill_every_hour_anew(account: CostAccount) -> None:
    bills = HourlyBills(account)
    before = bills.hours(PRICES, 0, NOW_MS)
    after = bills.hours({**PRICES, "a:1": 120.0}, 0, NOW_MS)
    usd = [merge_bills([hour.bill for hour in hours]).upstreams[0].usd for hours in (before, after)]
    assert usd[1] == pytest.approx(2 * usd[0])


def test_a_late_sample_changes_its_hour(account: CostAccount) -> None:
    bills = HourlyBills(account)
    before = bills.hours(PRICES, 0, NOW_MS)
    account.add(UpstreamSample(upstream="a:1", time_ms=HOUR_MS + 1, running=0.0))
    after = bills.hours(PRICES, 0, NOW_MS)
    changed = [one is not other for one, other in zip(before, after, strict=True)]
    assert changed == [False, True, False, False, False, False]
    assert after[1].bill.upstreams[0].idle_by == "exchanges and metrics"


def test_the_last_minutes_are_exact(account: CostAccount) -> None:
    bills = HourlyBills(account)
    bills.hours(PRICES, 0, NOW_MS)
    for start_ms in (NOW_MS - HOUR_MS, NOW_MS - 90 * MINUTE_MS):
        lately, whole = bills.lately(start_ms, NOW_MS), account.bill(PRICES, start_ms, NOW_MS)
        assert facts(lately)["a:1"] == pytest.approx(facts(whole)["a:1"])


def test_unforwarded_tokens_are_those_of_the_account(account: CostAccount) -> None:
    for number, minute in enumerate((90, 91, 150, 299)):
        account.add(
            UpstreamSample(
                upstream="a:1",
                time_ms=minute * MINUTE_MS,
                prompt_tokens=1e6 + number,
                generated_tokens=2e6,
            )
        )
    found = unforwarded_tokens(HourlyBills(account).hours(PRICES, 0, NOW_MS))
    assert found == pytest.approx(account.unforwarded_tokens(0, NOW_MS))
    assert list(found) == ["a:1"]


def test_what_was_counted_in_a_silence_changes_the_hours_that_it_is_of() -> None:
    account = CostAccount(0, 2**62)
    bills = HourlyBills(account)
    bills.hours(PRICES, 0, 3 * HOUR_MS)
    told = UpstreamSample(
        upstream="a:1",
        time_ms=3 * HOUR_MS - 1,
        seconds=2.5 * 3_600,
        prompt_tokens=250.0,
        generated_tokens=0.0,
    )
    account.add(told)
    hours = bills.hours(PRICES, 0, 3 * HOUR_MS)
    assert [hour.told["a:1"] for hour in hours] == pytest.approx([50.0, 100.0, 100.0], abs=0.01)
    assert unforwarded_tokens(hours) == pytest.approx({"a:1": 250.0})
