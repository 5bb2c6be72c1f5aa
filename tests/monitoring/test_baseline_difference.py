"""What moved between two baselines, and what a partial one keeps."""

from __future__ import annotations

from tests.monitoring.conftest import V1, Harness, Traffic

from tidegauge.monitoring.baseline_difference import compare_references, difference_sentences
from tidegauge.monitoring.partial_baseline import replace_references
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.schemas.findings import State
from tidegauge.schemas.operations import BaselineActivation
from tidegauge.schemas.topics import BASELINES


def built(
    traffic: Traffic, identity: str, *, slower: float = 1.0, errors: float = 0.01
) -> RatesBaseline:
    windows = traffic.baseline_windows(120, slower=slower, errors=errors)
    made = build_rates_baseline(windows)
    return RatesBaseline.from_bytes(made.to_bytes(), identity)


def test_slower_answers_and_more_failures_are_told_with_their_size(traffic: Traffic) -> None:
    old = built(traffic, "rates-1")
    new = built(traffic, "rates-2", slower=1.5, errors=0.2)
    found = compare_references(old.references, new.references)
    large = {(one.monitor, one.segment): one for one in found if one.large}
    latency = large["latency.total", V1.key]
    assert 1.3 < latency.size < 1.9
    assert "times what it was" in latency.sentence
    errors = large["errors.rate", V1.key]
    assert 0.1 < errors.size < 0.3
    assert "cost.request" not in {one.monitor for one in found if one.large}
    assert any("errors.rate" in said for said in difference_sentences(found))


def test_the_same_traffic_differs_by_nothing_worth_naming(traffic: Traffic) -> None:
    known = built(traffic, "rates-1").references
    found = compare_references(known, known)
    assert not any(one.large for one in found)
    (said,) = difference_sentences(found)
    assert "nothing differs" in said


def test_a_partial_baseline_keeps_the_evidence_of_the_references_that_it_took_over(
    traffic: Traffic, harness: Harness
) -> None:
    old = built(traffic, "rates-1")
    harness.monitor.use("rates", "rates-1", old.references, harness.now_ms)
    writer = traffic.writers["vitals"]
    for window in range(40):
        harness.give(traffic.vitals(window, 4, slower=3.0, errors=0.5), writer.progress(window + 1))
    firing = {alert.monitor for alert in harness.monitor.view().alerts}
    assert {"latency.total", "errors.rate"} <= firing
    fresh = build_rates_baseline(traffic.baseline_windows(120, slower=3.0))
    merged = replace_references(old, fresh, models={V1.model}, monitors={"latency.total"})
    new = RatesBaseline.from_bytes(merged.to_bytes(), "rates-2")
    assert {one.baseline for one in new.references["latency.total"].values()} == {"rates-2"}
    assert {one.baseline for one in new.references["errors.rate"].values()} == {"rates-1"}
    said = BaselineActivation(
        baseline_id="rates-2", kind="rates", time_ms=harness.now_ms, note="the new normal, says Ada"
    )
    harness.give(said, topic=BASELINES)
    harness.monitor.use("rates", "rates-2", new.references, harness.now_ms)
    harness.give(traffic.vitals(40, 4, slower=3.0), writer.progress(41))
    view = harness.monitor.view()
    assert "latency.total" not in {alert.monitor for alert in view.alerts}
    assert "errors.rate" in {alert.monitor for alert in view.alerts}
    ended = [one for one in harness.alerts("latency.total") if not one.fires]
    assert any("the new normal, says Ada" in one.summary for one in ended)
    latency = view.verdict("latency.total", V1)
    assert latency is not None
    assert (latency.baseline, latency.state) == ("rates-2", State.LOW_DATA)
