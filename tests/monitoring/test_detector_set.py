from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.schemas import measures
from tidegauge.schemas.findings import State

if TYPE_CHECKING:
    from tests.monitoring.conftest import Harness, Traffic


def with_baseline(harness: Harness, traffic: Traffic, windows: int) -> Harness:
    document = build_rates_baseline(traffic.baseline_windows(windows, 20)).to_bytes()
    baseline = RatesBaseline.from_bytes(document, "rates-1")
    harness.monitor.use("rates", "rates-1", baseline.references, harness.now_ms)
    return harness


def states(harness: Harness, traffic: Traffic, *, shift: float) -> list[State]:
    for window in range(60):
        harness.give(
            traffic.quality(window, 200, shift=shift),
            traffic.writers["quality"].progress(window + 1),
        )
    return [verdict.state for verdict in harness.verdicts("quality.likelihood")]


@pytest.mark.parametrize(("least", "state"), [(0.2, State.INFO), (0.01, State.WARN)])
def test_a_small_change_is_information_and_no_alarm(
    traffic: Traffic, least: float, state: State
) -> None:
    """With thousands of answers even a small change is significant."""
    harness = traffic.harness()
    harness.plan = replace(harness.plan, minimum_effect={"quality": least})
    harness.monitor = type(harness.monitor)(harness.plan)
    found = states(with_baseline(harness, traffic, 300), traffic, shift=0.06)
    assert found[-1] == state
    assert ({State.INFO, State.WARN} - {state}).isdisjoint(found)
    assert bool(harness.alerts()) == (state == State.WARN)


def test_an_alarm_outlives_a_window_that_cannot_be_tested(traffic: Traffic) -> None:
    harness = with_baseline(traffic.harness(), traffic, 30)
    assert states(harness, traffic, shift=0.8)[-1] == State.WARN
    writer = traffic.writers["quality"]
    value = measures.score(traffic.judge, "fluency")
    unqualified = measures.unqualified(traffic.judge)
    harness.give(
        writer.sketch(200, values={value: [-1.0] * 5}, hits={unqualified: 5}), writer.progress(201)
    )
    verdict = harness.monitor.view().verdict("quality.likelihood", traffic.version(1))
    assert verdict is not None
    assert verdict.state == State.WARN
    assert [alert.status for alert in harness.alerts("quality.likelihood")] == ["firing"]


def test_segments_share_their_monitors_budget_in_order_of_appearance(traffic: Traffic) -> None:
    harness = with_baseline(traffic.harness(), traffic, 30)
    for number in (1, 2, 3):
        harness.give(
            traffic.vitals(number, 20, version=number),
            traffic.writers["vitals"].progress(number + 1),
        )
    owed = [v.mean_seconds_to_false_alarm for v in harness.verdicts("errors.rate")]
    first = owed[0]
    assert first is not None
    assert [round(seconds / first, 6) for seconds in owed if seconds] == [1, 3, 6]


def test_a_baseline_that_promises_nothing_tests_nothing_and_says_why(traffic: Traffic) -> None:
    harness = traffic.harness()
    known = build_rates_baseline(traffic.baseline_windows(300, 20)).references
    why = {"refused": "its rates wander", "wanted_ms": 2 * 86_400_000}
    refused = {
        name: {key: msgspec.structs.replace(one, **why) for key, one in by_segment.items()}
        for name, by_segment in known.items()
    }
    document = RatesBaseline(from_ms=0, to_ms=1, events=1, references=refused).to_bytes()
    baseline = RatesBaseline.from_bytes(document, "rates-1")
    harness.monitor.use("rates", "rates-1", baseline.references, harness.now_ms)
    assert set(states(harness, traffic, shift=5.0)) == {State.REFUSED}
    assert not harness.alerts()
    assert harness.verdicts("quality.likelihood")[-1].sentence == (
        "No promise can be made on this baseline, so nothing alarms: its rates wander. "
        "A baseline of 2 days might do."
    )
