"""Checks that the baseline does not know are named, and never pass for tested."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.monitoring.verdict_details import unknown_checks
from tidegauge.schemas import measures
from tidegauge.schemas.findings import State

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

ARGUMENTS = measures.failed("tool_arguments")


@pytest.fixture
def baseline(traffic: Traffic) -> RatesBaseline:
    document = build_rates_baseline(traffic.baseline_windows(60, 20)).to_bytes()
    return RatesBaseline.from_bytes(document, "rates-1")


@pytest.mark.parametrize("check", ["tool_arguments", "refusal"])
def test_a_verdict_names_the_checks_that_have_no_band(
    traffic: Traffic, baseline: RatesBaseline, check: str
) -> None:
    harness, writer = traffic.harness(), traffic.writers["vitals"]
    harness.monitor.use("rates", "rates-1", baseline.references, harness.now_ms)
    name = measures.failed(check)
    for window in range(40):
        asked = 20 if window < 30 else 0
        sketch = writer.sketch(
            window,
            events=20,
            hits={measures.ERROR: 0, name: 0},
            trials={measures.ERROR: 20} | ({name: asked} if asked else {}),
        )
        harness.give(sketch, writer.progress(window + 1))
    verdict = harness.verdicts("errors.rate")[-1]
    assert verdict.state == State.OK
    named = "'tool_arguments' (failed by 0 of 600 answers)" in verdict.sentence
    assert named == (check == "tool_arguments")
    assert ("Not tested: the check 'tool_arguments'" in verdict.sentence) == named


def test_only_the_checks_with_most_answers_are_named(
    traffic: Traffic, baseline: RatesBaseline
) -> None:
    (reference, *_) = baseline.references["errors.rate"].values()
    names = [ARGUMENTS, *(measures.failed(f"check {number}") for number in range(9))]
    trials = {name: 100 - number for number, name in enumerate(names)}
    sketch = traffic.writers["vitals"].sketch(0, events=100, hits={ARGUMENTS: 7}, trials=trials)
    (said,) = unknown_checks(reference, [sketch, sketch])
    assert "'tool_arguments' (failed by 14 of 200 answers), 'check 0' (" in said
    assert "'check 3'" in said
    assert "'check 4'" not in said
    assert "and 5 more, unknown to the baseline" in said
    assert "tidegauge baseline build --kind rates" in said
    assert unknown_checks(reference, []) == ()
