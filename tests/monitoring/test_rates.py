from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tidegauge.detection.indicators import Tail
from tidegauge.detection.reference import nearest
from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.sketches import Sketch
from tidegauge.streaming import histogram

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic


def test_every_monitor_gets_a_reference_for_the_segment_and_its_parents(traffic: Traffic) -> None:
    baseline = build_rates_baseline(traffic.baseline_windows())
    segment = traffic.version(1)
    keys = {segment.key, *(parent.key for parent in segment.parents())}
    assert set(baseline.references) == {
        "cost.request",
        "errors.rate",
        "latency.total",
        "quality.likelihood",
    }
    assert all(set(by_segment) == keys for by_segment in baseline.references.values())
    assert baseline.events == 180
    assert (baseline.from_ms, baseline.to_ms) == (traffic.start_of(-60), traffic.start_of(0))
    assert baseline.summary()["events"] == "180"


def test_a_latency_above_the_bound_is_rare_by_definition(traffic: Traffic) -> None:
    sketches = traffic.baseline_windows(windows=300)
    reference = build_rates_baseline(sketches).references["latency.total"][traffic.version(1).key]
    assert [i.name.rpartition("/")[2] for i in reference.indicators] == [
        "above_p50",
        "above_p75",
        "above_p90",
        "above_p95",
    ]
    assert 0.05 <= reference.high[-1] < 0.1
    assert reference.rate[-1] <= 0.05


def test_a_short_baseline_is_allowed_what_it_cannot_have_seen(traffic: Traffic) -> None:
    by_length = [
        build_rates_baseline(traffic.baseline_windows(windows=windows, n=600 // windows))
        for windows in (30, 300)
    ]
    short, longer = (one.references["latency.total"][traffic.version(1).key] for one in by_length)
    assert short.high[-1] > 1.5 * longer.high[-1]


def test_parents_add_up_their_versions(traffic: Traffic) -> None:
    sketches = [traffic.vitals(b, 5, version=1 + b % 2) for b in range(40)]
    references = build_rates_baseline(sketches).references["errors.rate"]
    trials = {key: reference.trials[0] for key, reference in references.items()}
    assert trials[traffic.version(1).key] == trials[traffic.version(2).key] == 100
    assert trials[Segment(model="m").key] == 200


def test_scores_are_cut_at_low_quantiles_of_negative_numbers(traffic: Traffic) -> None:
    sketches = traffic.baseline_windows(windows=200)
    reference = build_rates_baseline(sketches).references["quality.likelihood"][
        traffic.version(1).key
    ]
    assert [i.name.rpartition("_")[2] for i in reference.indicators] == ["p5", "p10", "p25", "p50"]
    for indicator, rate, level in zip(
        reference.indicators, reference.rate, (0.05, 0.1, 0.25, 0.5), strict=True
    ):
        assert isinstance(indicator.counter, Tail)
        assert histogram.upper_edge(indicator.counter.bucket) < 0
        assert level <= rate < level + 0.03
    assert sum(reference.weights) == pytest.approx(1)


def test_a_rubrics_few_values_make_few_cuts(traffic: Traffic) -> None:
    label = "rubric@00000000"
    values = {measures.score(label, "score"): [4.0] * 6 + [5.0] * 4}
    sketches = [traffic.vitals(b, 10) for b in range(10)]
    sketches += [traffic.writers["quality"].sketch(b, values=values) for b in range(10)]
    reference = build_rates_baseline(sketches).references["quality.rubric"][traffic.version(1).key]
    assert [i.name.rpartition("_")[2] for i in reference.indicators] == ["p5"]
    assert reference.rate == (0.6,)


def test_scores_that_are_all_the_same_are_left_out(traffic: Traffic) -> None:
    values = {measures.score("rubric@00000000", "score"): [5.0] * 10}
    sketches = [traffic.vitals(b, 10) for b in range(10)]
    sketches += [traffic.writers["quality"].sketch(b, values=values) for b in range(10)]
    baseline = build_rates_baseline(sketches)
    assert "quality.rubric" not in baseline.references
    assert (
        baseline.left_out[f"quality.rubric {traffic.version(1).key}"] == "all scores are the same"
    )


def test_an_unqualified_judge_is_left_out_and_named(traffic: Traffic) -> None:
    sketches = [
        msgspec.structs.replace(s, hits={measures.unqualified(traffic.judge): s.events})
        if s.kind == "quality"
        else s
        for s in traffic.baseline_windows()
    ]
    baseline = build_rates_baseline(sketches)
    assert "quality.likelihood" not in baseline.references
    assert baseline.unqualified == ("likelihood",)


def test_a_judges_epoch_with_the_most_answers_stands_for_it(traffic: Traffic) -> None:
    old = measures.score("likelihood@ffffffff", "fluency")
    sketches = [
        *traffic.baseline_windows(),
        traffic.writers["quality"].sketch(-1, values={old: [-1.0] * 50}),
    ]
    reference = build_rates_baseline(sketches).references["quality.likelihood"][
        traffic.version(1).key
    ]
    assert {i.counter.value for i in reference.indicators if isinstance(i.counter, Tail)} == {
        measures.score(traffic.judge, "fluency")
    }


def test_too_few_events_are_left_out_with_a_reason(traffic: Traffic) -> None:
    baseline = build_rates_baseline(traffic.baseline_windows(windows=5))
    assert baseline.references == {}
    assert "40 are needed" in baseline.left_out[f"latency.total {traffic.version(1).key}"]


def test_no_responses_make_no_baseline(traffic: Traffic) -> None:
    with pytest.raises(RatesBaselineError, match="no responses in this range of time"):
        build_rates_baseline([traffic.quality(0, 4)])


def test_the_document_is_the_same_bytes_and_takes_its_identity_on_reading(traffic: Traffic) -> None:
    sketches = traffic.baseline_windows()
    baseline = build_rates_baseline(sketches)
    assert build_rates_baseline(reversed(sketches)).to_bytes() == baseline.to_bytes()
    read = RatesBaseline.from_bytes(baseline.to_bytes(), "rates-7")
    ids = {r.baseline for by_segment in read.references.values() for r in by_segment.values()}
    assert ids == {"rates-7"}
    assert msgspec.structs.replace(read, references={}) == msgspec.structs.replace(
        baseline, references={}
    )


def test_a_document_of_another_kind_or_version_is_refused(traffic: Traffic) -> None:
    with pytest.raises(RatesBaselineError, match="baseline rates-8 is not a baseline of rates"):
        RatesBaseline.from_bytes(b"\x00", "rates-8")
    newer = msgspec.structs.replace(build_rates_baseline(traffic.baseline_windows()), version=9)
    with pytest.raises(RatesBaselineError, match="version 9"):
        RatesBaseline.from_bytes(newer.to_bytes(), "rates-8")


def test_the_nearest_reference_is_found(traffic: Traffic) -> None:
    references = build_rates_baseline(traffic.baseline_windows()).references["errors.rate"]
    own, parent = traffic.version(1), Segment(model="m", route="/chat")
    found = nearest(references, traffic.version(9))
    assert found is not None
    assert found == (parent.key, references[parent.key])
    assert nearest(references, own) == (own.key, references[own.key])
    assert nearest(references, Segment(model="another")) is None
    assert nearest({"": references[own.key]}, Segment(model="another")) is not None


def test_the_waves_of_a_latency_are_measured(traffic: Traffic) -> None:
    calm = build_rates_baseline(traffic.baseline_windows())
    waves = [
        traffic.vitals(window, 8, slower=1.0 + 0.8 * (window // 8 % 2)) for window in range(96)
    ]
    wavy = build_rates_baseline(waves)
    key = traffic.version(1).key
    steady, waving = (one.references["latency.total"][key] for one in (calm, wavy))
    assert not any(steady.waves)
    assert all(waving.waves)
    assert waving.dispersion[-1] > 1.3 * steady.dispersion[-1]


def test_dearer_requests_without_a_price_raise_an_alarm(traffic: Traffic) -> None:
    writer = traffic.writers["vitals"]

    def worked(window: int, times: float) -> Sketch:
        work = traffic.rng.lognormal(6.0, 0.8, 20) * times
        return writer.sketch(
            window, values={measures.WORK_TOKENS: work}, trials={measures.ERROR: 0}
        )

    baseline = build_rates_baseline([worked(window, 1.0) for window in range(-60, 0)])
    assert "cost.work" in baseline.references
    assert "cost.request" not in baseline.references
    harness = traffic.harness()
    identified = RatesBaseline.from_bytes(baseline.to_bytes(), "b1")
    harness.monitor.use("rates", "b1", identified.references, traffic.start_of(0))
    for window in range(40):
        harness.give(worked(window, 3.0), writer.progress(window + 1))
    alert = harness.alerts("cost.work")[0]
    assert "a request's work above" in alert.summary
    assert "Requests cost more" in alert.summary
