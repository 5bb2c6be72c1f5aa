from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import pytest

from tidegauge.detection.indicators import Hits, Indicator
from tidegauge.monitoring.catalog import comparison_monitor
from tidegauge.monitoring.display import Display
from tidegauge.monitoring.version_comparison import (
    MetricComparison,
    Side,
    VersionComparison,
    VersionComparisons,
    advance_comparison,
    begin_comparison,
    comparison_verdicts,
    comparison_view,
)
from tidegauge.monitoring.windows import MergedWindow
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import State
from tidegauge.schemas.sketches import Sketch, SketchKind, SourceRange
from tidegauge.streaming.merging import merge_all

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

ALPHA = 0.05


def swap_of(traffic: Traffic, windows: int = 60) -> VersionComparison:
    vitals = merge_all([traffic.vitals(window, 5) for window in range(windows)])
    quality = merge_all([traffic.quality(window, 5) for window in range(windows)])
    assert vitals is not None
    assert quality is not None
    return begin_comparison(
        traffic.version(1), traffic.version(2), traffic.start_of(windows), [vitals, quality]
    )


def outcomes(comparison: VersionComparison) -> dict[str, str]:
    return {metric.name: metric.outcome for metric in comparison.metrics}


def after(
    comparison: VersionComparison, traffic: Traffic, windows: int, **change: float
) -> VersionComparison:
    """Let the new version answer ``windows`` windows; ``shift`` of its scores."""
    shift = change.pop("shift", 0.0)
    for window in range(100, 100 + windows):
        end = traffic.start_of(window + 1)
        for sketch in (
            traffic.vitals(window, 5, version=2, **change),
            traffic.quality(window, 5, shift=shift, segment=traffic.version(2)),
        ):
            comparison = advance_comparison(comparison, sketch, alpha=ALPHA, end_ms=end)
    return comparison


def test_what_is_compared_is_chosen_on_the_old_version(traffic: Traffic) -> None:
    comparison = swap_of(traffic)
    assert set(outcomes(comparison)) == {"errors", "latency", "cost", "quality.likelihood.fluency"}
    assert set(outcomes(comparison).values()) == {"undecided"}
    rates = {metric.name: metric.old.rate for metric in comparison.metrics}
    assert rates["latency"] == pytest.approx(0.05, abs=0.01)
    assert rates["quality.likelihood.fluency"] == pytest.approx(0.25, abs=0.01)


def test_a_worse_version_is_worse_and_only_there(traffic: Traffic) -> None:
    found = outcomes(after(swap_of(traffic), traffic, 40, shift=0.8))
    assert found["quality.likelihood.fluency"] == "worse"
    assert "worse" not in (found["latency"], found["errors"], found["cost"])


def test_a_better_version_is_better(traffic: Traffic) -> None:
    found = outcomes(after(swap_of(traffic), traffic, 200, shift=-0.5))
    assert found["quality.likelihood.fluency"] == "better"


def test_the_same_again_is_in_the_end_not_worse(traffic: Traffic) -> None:
    found = outcomes(after(swap_of(traffic, windows=400), traffic, 500))
    assert set(found.values()) <= {"not worse", "better"}


def test_an_outcome_is_kept(traffic: Traffic) -> None:
    comparison = after(swap_of(traffic), traffic, 40, shift=0.8)
    decided = [c.decided_ms for c in comparison.metrics if c.outcome == "worse"]
    comparison = after(comparison, traffic, 100, shift=-0.5)
    assert [c.decided_ms for c in comparison.metrics if c.outcome == "worse"] == decided


def test_the_old_version_goes_on_counting_beside_the_new(traffic: Traffic) -> None:
    comparison = swap_of(traffic)
    before = comparison.metrics[0].old.trials
    comparison = advance_comparison(
        comparison, traffic.vitals(70, 5), alpha=ALPHA, end_ms=traffic.start_of(71)
    )
    assert (comparison.metrics[0].old.trials, comparison.metrics[0].new.trials) == (before + 5, 0)


def test_an_unqualified_judge_compares_nothing(traffic: Traffic) -> None:
    quality = merge_all([traffic.quality(window, 5) for window in range(40)])
    assert quality is not None
    failing = msgspec.structs.replace(quality, hits={measures.unqualified(traffic.judge): 1})
    assert begin_comparison(traffic.version(1), traffic.version(2), 0, [failing]).metrics == ()


def test_verdicts_say_it_in_words(traffic: Traffic) -> None:
    comparison = after(swap_of(traffic), traffic, 40, shift=0.8)
    said = {
        v.monitor: v
        for v in comparison_verdicts(comparison, kind="quality", time_ms=traffic.start_of(140))
    }
    worse = said["swap.quality.likelihood.fluency"]
    assert worse.state == State.WARN
    assert "m, version v2, route /chat is worse than m, version v1, route /chat" in worse.sentence
    assert worse.effects[0].rate_low > worse.effects[0].high
    shown = {c.metric: c for c in comparison_view(comparison).metrics}
    assert shown["quality.likelihood.fluency"].low > 0
    vitals = comparison_verdicts(comparison, kind="vitals", time_ms=0)
    assert {v.state for v in vitals} <= {State.OK, State.LOW_DATA}


def ever_wrong(traffic: Traffic, looks: int) -> bool:
    indicator = Indicator(name="error", title="failed", family="errors", counter=Hits("error"))
    old = Side(hits=int(traffic.rng.binomial(300, 0.1)), trials=300)
    metric = MetricComparison(
        monitor=comparison_monitor("errors"),
        kind="vitals",
        indicator=indicator,
        margin=-1.0,
        old=old,
    )
    comparison = VersionComparison(
        old=traffic.version(1), new=traffic.version(2), since_ms=0, metrics=(metric,)
    )
    writer = traffic.writers["vitals"]
    for window in range(looks):
        hits = {"error": int(traffic.rng.binomial(20, 0.1))}
        sketch = writer.sketch(
            window, segment=traffic.version(2), events=20, hits=hits, trials={"error": 20}
        )
        comparison = advance_comparison(
            comparison, sketch, alpha=ALPHA, end_ms=traffic.start_of(window + 1)
        )
    return comparison.metrics[0].outcome != "undecided"


def check_miscoverage(traffic: Traffic, runs: int) -> None:
    wrong = sum(ever_wrong(traffic, 60) for _ in range(runs)) / runs
    assert wrong <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_looking_often_does_not_make_a_difference_in_brief(traffic: Traffic) -> None:
    check_miscoverage(traffic, 10)


@pytest.mark.stats
def test_looking_often_does_not_make_a_difference(traffic: Traffic) -> None:
    check_miscoverage(traffic, 150)


WINDOW_MS = 2_000
OLD = Segment(model="m", version="v1", route="/chat")
NEW = Segment(model="m", version="v2", route="/chat")


def _sketch(kind: SketchKind, segment: Segment, window: int, events: int) -> Sketch:
    return Sketch(
        kind=kind,
        producer_id=f"{kind}/t-0",
        sequence=window + 1,
        segment=segment,
        window_start_ms=window * WINDOW_MS,
        window_ms=WINDOW_MS,
        source=SourceRange(topic="t", partition=0, first_offset=0, last_offset=1),
        events=events,
    )


def _window(sketch: Sketch) -> MergedWindow:
    start = sketch.window_start_ms
    return MergedWindow(
        kind=sketch.kind, start_ms=start, end_ms=start + WINDOW_MS, sketches=(sketch,)
    )


def test_one_swap_is_compared_once_however_the_kinds_of_windows_close() -> None:
    display = Display(WINDOW_MS, 900_000)
    display.add(_sketch("vitals", OLD, 0, 100))
    comparisons = VersionComparisons(0.05)
    # The drift worker is ahead of the vitals worker: its windows close first, and several.
    for window in (5, 6, 7):
        comparisons.notice(NEW, _window(_sketch("drift", NEW, window, 3)), display)
    comparisons.notice(NEW, _window(_sketch("vitals", NEW, 5, 3)), display)
    (view,) = comparisons.views()
    assert (view.old, view.new, view.since_ms) == (OLD, NEW, 5 * WINDOW_MS)


def test_each_route_has_a_swap_of_its_own() -> None:
    display = Display(WINDOW_MS, 900_000)
    comparisons = VersionComparisons(0.05)
    for route in ("/chat", "/v1/chat/completions"):
        old = msgspec.structs.replace(OLD, route=route)
        display.add(_sketch("vitals", old, 0, 100))
        new = msgspec.structs.replace(NEW, route=route)
        comparisons.notice(new, _window(_sketch("vitals", new, 5, 3)), display)
    assert [view.new.route for view in comparisons.views()] == ["/chat", "/v1/chat/completions"]
