"""Customers that cost much more than a week before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from tidegauge.monitoring.customer_costs import (
    MOST_CUSTOMERS,
    CustomerCosts,
    CustomerCostsState,
)
from tidegauge.monitoring.incidents import Incident
from tidegauge.monitoring.intake import MergedWindow
from tidegauge.monitoring.monitor_processor import MonitorProcessor
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Alert, State, Verdict
from tidegauge.schemas.operations import Control
from tidegauge.schemas.sketches import Sketch, SourceRange
from tidegauge.schemas.topics import CONTROLS, SKETCHES
from tidegauge.streaming.processor import Partition

if TYPE_CHECKING:
    from tests.monitoring.conftest import Harness, Traffic

HOUR_MS = 3_600_000
START_MS = 500_000 * HOUR_MS
WEEK = 168
USD = measures.COST_NANOUSD_BY_CUSTOMER
WORK = measures.WORK_BY_CUSTOMER


def hour(number: int, totals: Mapping[str, Mapping[str, int]]) -> MergedWindow:
    start = START_MS + number * HOUR_MS
    sketch = Sketch(
        kind="vitals",
        producer_id="vitals/responses.v1-0",
        sequence=number + 1,
        segment=Segment(model="m"),
        window_start_ms=start,
        window_ms=10_000,
        source=SourceRange(topic="responses.v1", partition=0, first_offset=0, last_offset=0),
        events=1,
        totals={name: dict(labels) for name, labels in totals.items()},
    )
    return MergedWindow(kind="vitals", start_ms=start, end_ms=start + 10_000, sketches=(sketch,))


def costs(
    hours: int, rng: np.random.Generator, *, times: float = 1.0, tail: float = 1.0
) -> list[int]:
    """Draw hours of a customer with a daily cycle, from some hour on ``times`` as dear."""
    cycle = 1.2 + np.sin(np.arange(hours) / 24 * 2 * np.pi)
    changed = np.where(np.arange(hours) >= 2 * WEEK, times, 1.0)
    drawn = 1e9 * cycle * changed * rng.lognormal(0, tail, hours)
    return [round(amount) for amount in drawn.tolist()]


def verdicts_of(
    by_customer: Mapping[str, list[int]], name: str = USD, plan: MonitorPlan | None = None
) -> Iterator[Verdict]:
    tested = CustomerCosts(plan or MonitorPlan())
    for number, amounts in enumerate(zip(*by_customer.values(), strict=True)):
        totals = dict(zip(by_customer, amounts, strict=True))
        yield from tested.add(hour(number, {name: totals}), {})


@pytest.mark.parametrize("name", [USD, WORK])
def test_a_customer_that_costs_three_times_as_much_is_found_within_32_hours(name: str) -> None:
    rng = np.random.default_rng(1)
    hours = 2 * WEEK + 36
    streams = {"acme": costs(hours, rng, times=3, tail=0.2), "zeta": costs(hours, rng, tail=0.2)}
    alarms = [v for v in verdicts_of(streams, name) if v.state == State.WARN]
    assert {alarm.segment.customer for alarm in alarms} == {"acme"}
    first = alarms[0]
    delay = (first.time_ms - START_MS) // HOUR_MS - 2 * WEEK
    assert 17 <= delay <= 32
    assert first.since_ms is not None
    assert abs(first.since_ms - (START_MS + 2 * WEEK * HOUR_MS)) <= 3 * HOUR_MS
    assert "more than 2 times what it did a week before" in first.sentence
    assert first.mean_seconds_to_false_alarm == pytest.approx(72_000 * 3_600)


def test_heavy_tailed_costs_that_have_not_changed_raise_no_alarm() -> None:
    rng = np.random.default_rng(2)
    streams = {f"customer {n}": costs(4 * WEEK, rng, tail=1.5) for n in range(6)}
    # The obvious test, a day against the same day of the week before, alarms by chance.
    days = np.array(list(streams.values())).reshape(6, 28, 24).sum(axis=2)
    assert (days[:, 7:] > 3 * days[:, :-7]).any()
    found = list(verdicts_of(streams))
    assert {verdict.state for verdict in found} == {State.OK, State.LOW_DATA}
    (effect,) = found[-1].effects
    assert effect.hits / effect.trials < 0.5


@pytest.mark.stats
def test_alarms_are_as_rare_as_promised_where_half_of_the_hours_are_dear() -> None:
    """At ``TIMES`` times the cost a busy customer's hours are dear with a chance of one half."""
    rng = np.random.default_rng(4)
    hours, streams = 2 * WEEK, 80
    plan = MonitorPlan(false_alarm_days=0.25)  # the first customer's threshold is 600 h
    raised = 0
    for _ in range(streams):
        amounts = rng.lognormal(20, 1.0, WEEK + hours)
        amounts *= 2.0 ** (np.arange(WEEK + hours) // WEEK)
        stream = [round(amount) for amount in amounts.tolist()]
        raised += any(v.state == State.WARN for v in verdicts_of({"acme": stream}, plan=plan))
    assert raised / streams <= hours / 600 + 0.1


def test_nothing_is_said_before_a_week_has_passed_and_little_before_a_day_more() -> None:
    found = list(verdicts_of({"acme": [1] * (WEEK + 40)}))
    assert len(found) == 38
    assert found[0].time_ms == START_MS + (WEEK + 2) * HOUR_MS
    assert [v.state for v in found[:3]] == [State.LOW_DATA] * 3
    assert found[-1].state == State.OK


def test_hours_without_any_traffic_are_compared_too() -> None:
    tested = CustomerCosts(MonitorPlan())
    for number in range(WEEK + 2):
        tested.add(hour(number, {USD: {"acme": 10}}), {})
    found = tested.add(hour(WEEK + 12, {USD: {"acme": 10}}), {})
    assert len(found) == 11
    (effect,) = found[-1].effects
    assert effect.hits == 0
    assert effect.trials >= 10


def test_a_move_from_priced_tokens_to_work_is_no_rise() -> None:
    tested = CustomerCosts(MonitorPlan())
    states = [
        verdict.state
        for number in range(2 * WEEK + 60)
        for verdict in tested.add(
            hour(number, {(USD if number < 2 * WEEK else WORK): {"acme": 10}}), {}
        )
    ]
    assert set(states) == {State.LOW_DATA, State.OK}


def test_a_small_customers_rise_is_only_told() -> None:
    hours = 2 * WEEK + 40
    small = [1] * (2 * WEEK) + [5] * 40
    found = list(verdicts_of({"large": [10_000] * hours, "small": small}))
    assert {v.state for v in found if v.segment.customer == "small"} >= {State.INFO}
    assert State.WARN not in {v.state for v in found}


def test_customers_are_bounded_and_the_rest_is_no_customer() -> None:
    tested = CustomerCosts(MonitorPlan())
    names = [*(f"customer {n}" for n in range(MOST_CUSTOMERS + 5)), "other", "shadow"]
    tested.add(hour(0, {USD: dict.fromkeys(reversed(names), 1)}), {})
    known = tested.state().customers
    assert len(known) == MOST_CUSTOMERS
    assert not known.keys() & {"other", "shadow"}


def test_a_state_as_plain_data_goes_on_bit_by_bit() -> None:
    rng = np.random.default_rng(3)
    stream = costs(2 * WEEK + 30, rng, times=3)
    whole, cut = CustomerCosts(MonitorPlan()), CustomerCosts(MonitorPlan())
    for number, amount in enumerate(stream):
        window = hour(number, {USD: {"acme": amount}})
        if number % 50 == 7:
            data = msgspec.msgpack.encode(cut.state())
            cut = CustomerCosts(
                MonitorPlan(), msgspec.msgpack.decode(data, type=CustomerCostsState)
            )
        assert cut.add(window, {}) == whole.add(window, {})
    assert len(whole.state().customers["acme"].hours) <= WEEK + 25


def test_a_closed_alarm_starts_afresh_and_a_latched_one_stays() -> None:
    tested = CustomerCosts(MonitorPlan())
    stream = [10] * (2 * WEEK) + [50] * 40
    states = [
        verdict.state
        for number, amount in enumerate(stream)
        for verdict in tested.add(hour(number, {USD: {"acme": amount}}), {})
    ]
    assert states[-1] == State.WARN
    (latched,) = tested.add(hour(len(stream), {USD: {"acme": 1}}), {"acme": True})
    assert latched.state == State.CRITICAL
    tested.restart("acme")
    (fresh,) = tested.add(hour(len(stream) + 1, {USD: {"acme": 50}}), {})
    assert fresh.state == State.LOW_DATA


def test_an_incident_names_the_customer() -> None:
    stream = [10] * (2 * WEEK) + [50] * 40
    verdict = list(verdicts_of({"acme": stream}))[-1]
    alert = Alert(
        alert_id="a",
        monitor=verdict.monitor,
        signal=verdict.signal,
        segment=verdict.segment,
        severity="warn",
        status="firing",
        starts_ms=verdict.time_ms,
        time_ms=verdict.time_ms,
        summary="",
        verdict=verdict,
    )
    title = Incident("a", (alert,)).title()
    assert title.startswith("customer acme since ")
    assert title.endswith("it costs much more than a week before")


def test_the_monitor_raises_keeps_and_closes_the_alarm(harness: Harness, traffic: Traffic) -> None:
    writer, sketches = traffic.writers["vitals"], Partition(SKETCHES.name, 0)
    for number in range(2 * WEEK + 24):
        amount = 10 if number < 2 * WEEK else 50
        made = writer.sketch(1_800 * number, events=1, trials={measures.ERROR: 0})
        sketch = msgspec.structs.replace(made, totals={USD: {"acme": amount, "other": 1_000}})
        harness.now_ms = traffic.start_of(1_800 * number)
        harness.give(sketch, writer.progress(1_800 * number + 1))
        if number == 2 * WEEK + 5:
            again = MonitorProcessor(harness.plan)
            again.assign(sketches, harness.monitor.snapshot(sketches))
            harness.monitor = again
    (alert,) = harness.alerts("cost.customer")
    assert alert.summary.startswith("all traffic, customer acme: The customer costs more than 2")
    assert "The last day: " in alert.summary
    control = Control(
        action="close", monitor="cost.customer", segment="*", time_ms=harness.now_ms, who="Ada"
    )
    harness.give(control, topic=CONTROLS)
    assert [one.status for one in harness.alerts("cost.customer")] == ["firing", "resolved"]
    assert harness.verdicts("cost.customer")[-1].state == State.LOW_DATA
