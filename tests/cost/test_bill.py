"""The bill adds up, and its shares are those of a simulated server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from tidegauge.cost.bill import Bill, make_bill, merge_bills
from tidegauge.cost.prices import GpuPrice
from tidegauge.cost.work import work_of
from tidegauge.reports.bill_tables import DIMENSIONS, bill_rows, cost_changes, costs_by
from tidegauge.reports.cost_sentences import cost_sentences
from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import ResponseEvent, Usage
from tidegauge.simulation.continuous_batching import Batched, Hardware, run_batches
from tidegauge.streaming.upstream_work import MinuteOfWork, WorkAccumulator

HOURS = 8
RANGE_MS = HOURS * 3_600_000
START_MS = 1_767_225_600_000
UPSTREAM = "10.0.0.7:8000"
USD = 2.5


class Kind(NamedTuple):
    """A customer's requests: how frequent, how long, how much of the prompt is cached."""

    share: float
    prompt: float
    cached: float
    output: float


CUSTOMERS = {
    "chat": Kind(0.30, 600, 0.3, 250),
    "retrieval": Kind(0.20, 6_000, 0.1, 150),
    "agent": Kind(0.20, 8_000, 0.85, 80),
    "code": Kind(0.12, 1_500, 0.2, 900),
    "classify": Kind(0.10, 400, 0.0, 4),
    "summary": Kind(0.08, 12_000, 0.0, 300),
}


class Traffic(NamedTuple):
    """Simulated requests."""

    times: np.ndarray[tuple[int], np.dtype[np.float64]]
    customer: np.ndarray[tuple[int], np.dtype[np.int64]]
    prompt: np.ndarray[tuple[int], np.dtype[np.int64]]
    cached: np.ndarray[tuple[int], np.dtype[np.int64]]
    output: np.ndarray[tuple[int], np.dtype[np.int64]]


def simulated_hours(rate: float, seed: int) -> Traffic:
    rng = np.random.default_rng(seed)
    grid = np.linspace(0, RANGE_MS / 1000, 481)
    rates = rate * (1 - 0.8 * np.cos(grid / grid[-1] * 2 * np.pi))
    expected = np.concatenate([[0], np.cumsum(rates[:-1] * np.diff(grid))])
    reached = np.cumsum(rng.exponential(1, int(expected[-1] * 1.1)))
    times = np.interp(reached[reached < expected[-1]], expected, grid)
    kinds = np.array(list(CUSTOMERS.values()))
    customer = rng.choice(len(kinds), len(times), p=kinds[:, 0])
    spread = np.exp(rng.normal(0, 0.6, (2, len(times))))
    prompt = np.maximum(16, kinds[customer, 1] * spread[0]).astype(np.int64)
    cached = (prompt * kinds[customer, 2] * rng.uniform(0.5, 1.1, len(times))).astype(np.int64)
    output = np.maximum(1, kinds[customer, 3] * spread[1]).astype(np.int64)
    return Traffic(times, customer, prompt, np.minimum(cached, prompt - 1), output)


def responses(traffic: Traffic, served: Batched) -> Iterator[ResponseEvent]:
    names = list(CUSTOMERS)
    for n, at in enumerate(traffic.times.tolist()):
        yield ResponseEvent(
            request_id=str(n),
            producer_id="gateway",
            sequence=n + 1,
            time_ms=START_MS + int(at * 1e3),
            segment=Segment(model="m", version="v1", route="/v1/chat/completions"),
            customer=names[traffic.customer[n]],
            status=200,
            latency_ms=(float(served.end[n]) - at) * 1e3,
            time_to_first_token_ms=(float(served.first_token[n]) - at) * 1e3,
            upstream=UPSTREAM,
            usage=Usage(
                input_tokens=int(traffic.prompt[n]),
                output_tokens=int(traffic.output[n]),
                cached_tokens=int(traffic.cached[n]),
            ),
        )


def equal_shares(traffic: Traffic, served: Batched) -> list[float]:
    """Return each customer's part of the time if all exchanges in flight paid the same."""
    moments = [(at, 1, n) for n, at in enumerate(traffic.times.tolist())]
    moments += [(at, 0, n) for n, at in enumerate(served.end.tolist())]
    paid, before, active, reading = [0.0] * len(traffic.times), 0.0, 0, 0.0
    for at, arrives, n in sorted(moments):
        reading += (at - before) / active if active else 0.0
        before = at
        active += 1 if arrives else -1
        paid[n] += -reading if arrives else reading
    sums = np.bincount(traffic.customer, paid, len(CUSTOMERS))
    return list(sums / sums.sum())


def shares_of(bill: Bill) -> list[float]:
    charges = bill.by(lambda key: key.customer)
    whole = sum(charge.busy_seconds for charge in charges.values())
    return [charges[name].busy_seconds / whole for name in CUSTOMERS]


def mean_error(shares: list[float], truth: list[float]) -> float:
    return float(np.mean([abs(a / b - 1) for a, b in zip(shares, truth, strict=True)]))


def worked(events: Iterator[ResponseEvent]) -> dict[tuple[str, int], MinuteOfWork]:
    work = WorkAccumulator()
    for event in events:
        work.add(event.segment.key, work_of(event, event.customer, event.key_id or ""))
    return work.minutes


@pytest.mark.parametrize(
    ("rate", "seed", "step_tokens"),
    [(0.15, 4, 2_048), (0.5, 1, 2_048), (1.5, 1, 512), (1.5, 3, 2_048)],
)
def test_shares_are_those_of_a_simulated_server(rate: float, seed: int, step_tokens: int) -> None:
    traffic = simulated_hours(rate, seed)
    served = run_batches(
        Hardware(step_tokens=step_tokens),
        traffic.times,
        traffic.prompt,
        traffic.cached,
        traffic.output,
    )
    bill = make_bill(
        worked(responses(traffic, served)), {UPSTREAM: USD}, START_MS, START_MS + RANGE_MS
    )
    sums = np.bincount(traffic.customer, served.busy_seconds, len(CUSTOMERS))
    truth = list(sums / sums.sum())
    error = mean_error(shares_of(bill), truth)
    equal = mean_error(equal_shares(traffic, served), truth)
    assert error <= 0.10
    assert error <= equal / 2
    (upstream,) = bill.upstreams
    assert upstream.usd == pytest.approx(HOURS * USD)
    assert abs(upstream.residual_usd) <= 0.02 * upstream.usd
    idle = RANGE_MS / 1000 - served.busy_seconds.sum()
    assert upstream.idle_seconds == pytest.approx(idle, abs=0.01 * RANGE_MS / 1000)
    assert upstream.weights is not None
    assert upstream.weights.measured


def event(**fields: object) -> ResponseEvent:
    answered = ResponseEvent(
        request_id="r",
        producer_id="g",
        sequence=1,
        time_ms=START_MS,
        segment=Segment(model="m", version="v1", route="/chat"),
        customer="acme",
        status=200,
        latency_ms=30_000.0,
        upstream=UPSTREAM,
        usage=Usage(input_tokens=100, output_tokens=10),
    )
    return msgspec.structs.replace(answered, **fields)


def test_every_minute_is_shared_idle_or_residual() -> None:
    work = worked(
        iter(
            [
                event(),
                event(time_ms=START_MS + 60_000, customer="zeta", shadow=True),
                event(time_ms=START_MS + 120_000, usage=None),
            ]
        )
    )
    bill = make_bill(work, {UPSTREAM: 60.0}, START_MS, START_MS + 240_000)
    (one,) = bill.upstreams
    assert (one.usd, one.shares_usd, one.idle_usd) == pytest.approx((4.0, 1.0, 2.5))
    assert one.residual_usd == pytest.approx(0.5)  # it was busy, and nobody knows with what
    assert one.weights is not None
    assert not one.weights.measured
    rows = list(bill_rows(bill))
    assert sum(row[-1] or 0.0 for row in rows if not isinstance(row[-1], str)) == pytest.approx(4.0)
    assert {row[1]: row[-1] for row in rows} == pytest.approx(
        {"served": 0.5, "shadow": 0.5, "idle": 2.5, "residual": 0.5}
    )


def test_idle_time_that_the_server_measures_counts_before_that_of_the_exchanges() -> None:
    bill = make_bill(
        worked(iter([event()])),
        {UPSTREAM: 60.0},
        START_MS,
        START_MS + 120_000,
        idle_shares={(UPSTREAM, START_MS): 0.3},
    )
    (one,) = bill.upstreams
    assert one.idle_seconds == pytest.approx(0.3 * 60 + 60)
    assert one.residual_usd == pytest.approx(0.2)  # 12 s of work that no gateway forwarded
    assert one.idle_by == "exchanges and metrics"


def test_the_end_of_an_answer_behind_its_last_token_is_paid_for() -> None:
    usage = Usage(input_tokens=100, output_tokens=1)
    late = event(time_ms=START_MS + 59_000, latency_ms=1_400.0, usage=usage)
    (one,) = make_bill(
        worked(iter([late])), {UPSTREAM: 60.0}, START_MS, START_MS + 120_000
    ).upstreams
    assert one.busy_seconds == pytest.approx(1.4)
    assert one.residual_usd == pytest.approx(0.0)


def test_exchanges_that_no_slot_has_seen_are_counted() -> None:
    bill = make_bill(
        worked(iter([event(latency_ms=1.0)])), {UPSTREAM: 60.0}, START_MS, START_MS + 60_000
    )
    (charge,) = bill.charges.values()
    assert (charge.work.requests, charge.usd) == (1, 0.0)


def test_time_without_a_price_is_not_paid_for() -> None:
    later = GpuPrice(usd=60.0, start=datetime.fromtimestamp(START_MS / 1000 + 60, UTC))
    bill = make_bill(worked(iter([event()])), {UPSTREAM: (later,)}, START_MS, START_MS + 120_000)
    (one,) = bill.upstreams
    assert (one.seconds, one.usd, one.idle_usd) == (60.0, 1.0, 1.0)
    assert bill.usd == 1.0


def test_time_is_told_by_the_kind_of_its_price() -> None:
    since = datetime.fromtimestamp(START_MS / 1000 + 60, UTC)
    prices = (GpuPrice(usd=60.0, kind="reserved"), GpuPrice(usd=6.0, kind="spot", start=since))
    halves = [
        make_bill({}, {UPSTREAM: prices}, START_MS + n * 120_000, START_MS + (n + 1) * 120_000)
        for n in range(2)
    ]
    (one,) = merge_bills(halves).upstreams
    assert {time.kind: time.seconds for time in one.kinds} == {"reserved": 60.0, "spot": 180.0}
    assert [time.usd for time in one.kinds] == pytest.approx([1.0, 0.3])
    assert one.usd == pytest.approx(1.3)


def test_tokens_with_a_price_and_upstreams_without_one() -> None:
    priced = event(cost_usd=0.25, turn=1)
    bill = make_bill(worked(iter([priced, event(upstream="b:1")])), {}, START_MS, START_MS + 60_000)
    assert bill.usd == 0.25
    assert bill.unpriced == ("b:1",)
    failed = event(customer="zeta", usage=None, error="upstream_timeout")
    both = make_bill(worked(iter([priced, failed])), {}, START_MS, START_MS + 60_000)
    assert both.unpriced == ()  # what did not answer needs no price
    acme, nobody = costs_by(bill, "upstream")
    assert (acme.usd, acme.requests_per_usd, acme.usd_per_conversation) == (0.25, 4.0, 0.25)
    assert acme.usd_per_million == pytest.approx(0.25 / 110 * 1e6)
    assert (nobody.usd, nobody.share) == (None, None)


def test_what_has_become_dearer_since_an_earlier_range() -> None:
    work = worked(
        iter(
            [
                event(latency_ms=10_000.0),
                event(customer="gone"),
                event(time_ms=START_MS + 120_000, latency_ms=30_000.0),
                event(time_ms=START_MS + 180_000, customer="new"),
            ]
        )
    )
    before, now = (
        make_bill(work, {UPSTREAM: 60.0}, START_MS + offset, START_MS + offset + 120_000)
        for offset in (0, 120_000)
    )
    changes = {one.name: one for one in cost_changes(now, before, "customer")}
    assert list(changes)[-1] == "gone"
    assert changes["acme"].times == pytest.approx(changes["acme"].usd / changes["acme"].before_usd)
    assert changes["acme"].usd == pytest.approx(0.5)
    assert (changes["new"].times, changes["new"].before_usd) == (None, 0.0)
    assert (changes["gone"].usd, changes["gone"].usd_per_million) == (0.0, None)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_every_dimension_has_the_whole_cost(dimension: str) -> None:
    bill = make_bill(worked(iter([event()])), {UPSTREAM: 60.0}, START_MS, START_MS + 60_000)
    assert sum(group.usd or 0.0 for group in costs_by(bill, dimension)) == pytest.approx(0.5)


def test_each_key_has_its_part() -> None:
    events = [event(key_id="k1", latency_ms=10_000.0), event(key_id="k2"), event(customer="zeta")]
    bill = make_bill(worked(iter(events)), {UPSTREAM: 60.0}, START_MS, START_MS + 60_000)
    found = {group.name: group for group in costs_by(bill, "key")}
    assert set(found) == {"acme k1", "acme k2", "zeta without a key"}
    assert sum(group.usd or 0.0 for group in found.values()) == pytest.approx(0.5)
    (acme, _) = costs_by(bill, "customer")
    assert acme.usd == pytest.approx((found["acme k1"].usd or 0) + (found["acme k2"].usd or 0))


def test_judges_requests_are_a_line_of_their_own() -> None:
    events = [event(), event(customer="quality"), event(customer="quality", repeat_of="r0")]
    bill = make_bill(
        worked(iter(events)), {UPSTREAM: 60.0}, START_MS, START_MS + 60_000, judges={"quality"}
    )
    found = {group.name: group.requests for group in costs_by(bill, "line")}
    assert found == {"served": 1, "judge": 2}
    assert sum(charge.usd or 0.0 for charge in bill.charges.values()) == pytest.approx(0.5)


def test_a_bill_in_sentences() -> None:
    events = [event(customer=f"customer {n}", turn=1) for n in range(7)]
    work = worked(iter(events))
    said = list(cost_sentences(make_bill(work, {UPSTREAM: 60.0}, START_MS, START_MS + 60_000)))
    assert said == [
        (
            "Cost of all traffic: $1.00 for 7 requests; the servers were in use 50% of their time, "
            "and idle for $0.50."
        ),
        (
            "Cost by customer: customer 0 $0.071, customer 1 $0.071, customer 2 $0.071, "
            "customer 3 $0.071, customer 4 $0.071, 2 others $0.14."
        ),
        "Cost of a million tokens, and of a conversation: m v1 $649.35 and $0.071.",
    ]
    unpriced = list(cost_sentences(make_bill(work, {}, START_MS, START_MS + 60_000)))
    assert unpriced == ["Cost: not known, since neither tokens nor servers have a price."]


def test_an_answer_beside_others_pays_less_for_a_token() -> None:
    """Two customers have as many tokens and seconds, one in a long answer, one in ten short."""
    events = [
        event(
            customer="long" if n == 0 else "short",
            time_ms=START_MS + 3_000 * n,
            latency_ms=30_000.0 if n == 0 else 3_000.0,
            time_to_first_token_ms=0.0,
            usage=Usage(input_tokens=0, output_tokens=10_001 if n == 0 else 1_001),
        )
        for n in range(11)
    ]
    bill = make_bill(worked(iter(events)), {UPSTREAM: 60.0}, START_MS, START_MS + 60_000)
    found = {group.name: group.busy_seconds for group in costs_by(bill, "customer")}
    # The mean of 1 / (1 + N), for N of the others at random moments, is an integral over [0, 1].
    moments = (np.arange(1_000) + 0.5) / 1_000
    long = np.mean((0.95 + 0.05 * moments) ** 10)
    short = np.mean((0.5 + 0.5 * moments) * (0.95 + 0.05 * moments) ** 9)
    assert long / short == pytest.approx(1.27, abs=0.01)
    assert found["long"] / found["short"] == pytest.approx(long / short, rel=0.02)


def test_an_exchange_whose_work_is_unknown_pays_nothing_beside_one_that_is_known() -> None:
    events = [event(), event(customer="unknown", usage=None)]
    bill = make_bill(worked(iter(events)), {UPSTREAM: 60.0}, START_MS, START_MS + 60_000)
    found = {group.name: group.busy_seconds for group in costs_by(bill, "customer")}
    assert found == pytest.approx({"acme": 30.0, "unknown": 0.0})
