"""The size of a change: what is too small to matter is information and no alarm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from tidegauge.detection.indicators import StratifiedTail, Tail
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.monitoring.verdict_details import quantile_ratio
from tidegauge.schemas import measures
from tidegauge.schemas.findings import State, Verdict
from tidegauge.streaming import histogram

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic


def verdicts(
    traffic: Traffic, monitor: str, before: dict[str, list[float]], after: dict[str, list[float]]
) -> list[Verdict]:
    """Watch a stream of numbers that are exactly alike, before and after a change."""
    writer = traffic.writers["vitals"]
    past = [writer.sketch(window, values=before) for window in range(-200, 0)]
    document = build_rates_baseline(past).to_bytes()
    harness = traffic.harness()
    references = RatesBaseline.from_bytes(document, "rates-1").references
    harness.monitor.use("rates", "rates-1", references, harness.now_ms)
    for window in range(60):
        harness.give(writer.sketch(window, values=after), writer.progress(window + 1))
    return harness.verdicts(monitor)


@pytest.mark.parametrize(("after", "state"), [(256.0, State.INFO), (300.0, State.WARN)])
def test_a_bucket_more_is_no_alarm(traffic: Traffic, after: float, state: State) -> None:
    name = measures.LATENCY_MS
    found = verdicts(traffic, "latency.total", {name: [250.0] * 10}, {name: [after] * 10})
    assert found[-1].state == state
    assert (State.WARN in {verdict.state for verdict in found}) == (state == State.WARN)


def test_an_alarm_says_how_many_times_as_long(traffic: Traffic) -> None:
    name = measures.LATENCY_MS
    found = verdicts(traffic, "latency.total", {name: [250.0] * 10}, {name: [500.0] * 10})
    assert "At the same load and lengths, answers take 2.0 times as long." in found[-1].sentence


@pytest.mark.parametrize(("after", "state"), [(0.0102, State.INFO), (0.013, State.WARN)])
def test_a_cost_is_sized_as_a_ratio(traffic: Traffic, after: float, state: State) -> None:
    name = measures.COST_USD
    found = verdicts(traffic, "cost.request", {name: [0.01] * 10}, {name: [after] * 10})
    assert found[-1].state == state


@pytest.mark.parametrize("slower", [1.0, 1.15, 1.5])
def test_the_ratio_of_quantiles_is_that_of_the_durations(traffic: Traffic, slower: float) -> None:
    rng = np.random.default_rng(1)
    past, present = rng.lognormal(5, 0.4, 20_000), slower * rng.lognormal(5, 0.4, 20_000)
    edge = float(np.quantile(past, 0.75))
    values = histogram.add(histogram.empty(), present.tolist())
    whole = Tail("ms", histogram.bucket_of(edge), "above")
    strata = StratifiedTail("ms", {"0/0/0/0": histogram.bucket_of(edge)}, "above")
    empty = traffic.writers["vitals"].sketch(0)
    sketch = msgspec.structs.replace(
        empty, histograms={"ms": values}, strata={"ms": {"0/0/0/0": values}}
    )
    assert quantile_ratio(whole, 0.25, sketch) == pytest.approx(slower, rel=0.04)
    assert quantile_ratio(strata, 0.25, sketch) == pytest.approx(slower, rel=0.04)
