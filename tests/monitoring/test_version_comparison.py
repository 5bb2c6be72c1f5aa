"""Comparisons of versions: side by side, one after the other, and what they say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import pytest

from tidegauge.monitoring.comparison_verdicts import comparison_verdicts, comparison_view
from tidegauge.monitoring.display import Display
from tidegauge.monitoring.intake import MergedWindow
from tidegauge.monitoring.plan import SHARES, MonitorPlan
from tidegauge.monitoring.version_comparison import (
    MetricComparison,
    VersionComparison,
    advance_comparison,
    begin_comparison,
)
from tidegauge.monitoring.version_comparisons import VersionComparisons, VersionComparisonsState
from tidegauge.monitoring.version_history import VersionHistory, choose_metrics, observe_version
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import State
from tidegauge.schemas.sketches import Sketch, SketchKind, SourceRange
from tidegauge.streaming.merging import merge_all

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

ALPHA = 0.05
HOUR = 1_800
"""Windows in an hour."""


def swap_of(traffic: Traffic, windows: int = 60) -> VersionComparison:
    sketches = [merge_all([traffic.vitals(window, 5) for window in range(windows)])]
    sketches += [merge_all([traffic.quality(window, 5) for window in range(windows)])]
    totals = [sketch for sketch in sketches if sketch is not None]
    metrics = [metric for total in totals for metric in choose_metrics(total)]
    since = traffic.start_of(windows)
    return begin_comparison(
        traffic.version(1), traffic.version(2), since, metrics, totals, alpha=ALPHA
    )


def outcomes(comparison: VersionComparison) -> dict[str, str]:
    return {one.metric.name: one.outcome for one in comparison.metrics}


def side_by_side(  # noqa: PLR0913 - what the new version is like
    comparison: VersionComparison,
    traffic: Traffic,
    windows: range,
    *,
    n: int = 20,
    shift: float = 0.0,
    slower: float = 1.0,
) -> VersionComparison:
    """Let both versions answer; the new one's scores shift, or its answers are slower."""
    total: dict[str, Sketch] = {}
    for window in windows:
        for old, new in (
            (
                traffic.vitals(window, n),
                traffic.vitals(window, n, version=2, slower=slower),
            ),
            (
                traffic.quality(window, n),
                traffic.quality(window, n, shift=shift, segment=traffic.version(2)),
            ),
        ):
            merged = merge_all([*([total[new.kind]] if new.kind in total else []), new])
            assert merged is not None
            total[new.kind] = merged
            end = traffic.start_of(window + 1)
            comparison = advance_comparison(comparison, old, new, merged, end_ms=end)
    return comparison


def test_what_is_compared_is_chosen_on_the_old_version(traffic: Traffic) -> None:
    comparison = swap_of(traffic)
    assert set(outcomes(comparison)) == {"errors", "latency", "cost", "quality.likelihood.fluency"}
    assert set(outcomes(comparison).values()) == {"undecided"}
    assert {one.alpha for one in comparison.metrics} == {ALPHA / 4 / 2}


def test_side_by_side_a_worse_version_is_worse_and_only_there(traffic: Traffic) -> None:
    comparison = side_by_side(swap_of(traffic), traffic, range(100, 160), shift=0.8)
    found = outcomes(comparison)
    assert found["quality.likelihood.fluency"] == "worse"
    assert "worse" not in (found["latency"], found["errors"], found["cost"])


def test_side_by_side_a_better_version_is_better(traffic: Traffic) -> None:
    found = outcomes(side_by_side(swap_of(traffic), traffic, range(100, 160), shift=-0.5))
    assert found["quality.likelihood.fluency"] == "better"


def test_a_canary_that_is_a_fifth_slower_is_found(traffic: Traffic) -> None:
    comparison = side_by_side(swap_of(traffic), traffic, range(100, 225), slower=1.2)
    found = next(one for one in comparison.metrics if one.metric.name == "latency")
    assert found.outcome == "worse"
    assert found.old.trials + found.new.trials <= 5_000


def test_the_same_again_is_in_the_end_not_worse(traffic: Traffic) -> None:
    comparison = side_by_side(swap_of(traffic, windows=400), traffic, range(500, 600), n=60)
    assert set(outcomes(comparison).values()) == {"not worse"}


def test_worse_is_taken_back_when_it_was_a_fluke(traffic: Traffic) -> None:
    comparison = side_by_side(swap_of(traffic), traffic, range(100, 115), shift=0.8)
    assert outcomes(comparison)["quality.likelihood.fluency"] == "worse"
    comparison = side_by_side(comparison, traffic, range(115, 330))
    assert outcomes(comparison)["quality.likelihood.fluency"] != "worse"


def test_a_cold_start_is_not_compared(traffic: Traffic) -> None:
    comparison = swap_of(traffic)
    comparison = side_by_side(comparison, traffic, range(60, 90), slower=5.0)
    trials = {one.metric.name: one.new.trials for one in comparison.metrics}
    assert trials["latency"] == 0
    assert trials["errors"] == 600


def test_an_unqualified_judge_compares_nothing(traffic: Traffic) -> None:
    quality = merge_all([traffic.quality(window, 5) for window in range(40)])
    assert quality is not None
    failing = msgspec.structs.replace(quality, hits={measures.unqualified(traffic.judge): 1})
    assert list(choose_metrics(failing)) == []


def test_verdicts_say_it_in_words(traffic: Traffic) -> None:
    comparison = side_by_side(swap_of(traffic), traffic, range(100, 160), shift=0.8)
    said = {
        v.monitor: v
        for v in comparison_verdicts(comparison, kind="quality", time_ms=traffic.start_of(160))
    }
    worse = said["swap.quality.likelihood.fluency"]
    assert worse.state == State.WARN
    assert "m, version v2, route /chat is worse than m, version v1, route /chat" in worse.sentence
    assert "of 1,200 in the same windows" in worse.sentence
    assert worse.effects[0].rate_low > worse.effects[0].high
    shown = {c.metric: c for c in comparison_view(comparison).metrics}
    assert shown["quality.likelihood.fluency"].low > 0
    vitals = comparison_verdicts(comparison, kind="vitals", time_ms=0)
    assert {v.state for v in vitals} <= {State.OK, State.LOW_DATA}


# -- one after the other ------------------------------------------------------------------------


def swapped(
    traffic: Traffic, *, days: int, hours: int, slower: float = 1.0, n: int = 100
) -> tuple[VersionComparison, MetricComparison]:
    """Replace a version after some days; a window in each hour stands for the hour."""
    history = VersionHistory(segment=traffic.version(1))
    total = None
    for hour in range(24 * days):
        sketch = traffic.vitals(hour * HOUR, n)
        total = sketch if total is None else merge_all([total, sketch])
        assert total is not None
        history = observe_version(history, total, sketch)
    assert total is not None
    first = 24 * days * HOUR
    comparison = begin_comparison(
        traffic.version(1),
        traffic.version(2),
        traffic.start_of(first),
        history.metrics or choose_metrics(total),
        [total],
        alpha=ALPHA,
    )
    new_total = None
    for hour in range(hours):
        window = first + hour * HOUR + 60
        sketch = traffic.vitals(window, n, version=2, slower=slower)
        new_total = sketch if new_total is None else merge_all([new_total, sketch])
        end = traffic.start_of(window + 1)
        comparison = advance_comparison(comparison, None, sketch, new_total, end_ms=end)
    latency = next(one for one in comparison.metrics if one.metric.name == "latency")
    return comparison, latency


def test_a_slower_version_after_a_swap_is_worse_within_a_day(traffic: Traffic) -> None:
    comparison, latency = swapped(traffic, days=2, hours=24, slower=1.3, n=200)
    assert (latency.outcome, latency.side_by_side) == ("worse", False)
    verdicts = {v.monitor: v for v in comparison_verdicts(comparison, kind="vitals", time_ms=0)}
    assert verdicts["swap.latency"].state == State.WARN
    assert "at the same times of day, over" in verdicts["swap.latency"].sentence


def test_the_same_version_after_a_swap_is_not_worse(traffic: Traffic) -> None:
    _, latency = swapped(traffic, days=2, hours=24, n=200)
    assert latency.outcome in {"not worse", "undecided"}


def test_without_a_day_of_the_old_version_nothing_is_decided_and_it_is_said(
    traffic: Traffic,
) -> None:
    notes = []
    for hours in (2, 9):
        comparison, latency = swapped(traffic, days=1, hours=hours, slower=3.0, n=400)
        assert latency.outcome == "undecided"
        shown = {one.metric: one for one in comparison_view(comparison).metrics}
        notes.append(shown["latency"].note)
    assert "at the same times of day: from 2023-11-16 0" in notes[0]
    assert re.match(r"Hours compared so far: \d\. These are too few", notes[1])
    fresh = swap_of(traffic)
    fresh = advance_comparison(
        fresh, None, traffic.vitals(200, 5, version=2), None, end_ms=traffic.start_of(201)
    )
    (verdict,) = (
        v
        for v in comparison_verdicts(fresh, kind="vitals", time_ms=0)
        if v.monitor == "swap.latency"
    )
    assert verdict.state == State.LOW_DATA
    assert "only both versions side by side can tell" in verdict.sentence


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
    comparisons = VersionComparisons(MonitorPlan())
    # The drift worker is ahead of the vitals worker: its windows close first, and several.
    for window in (5, 6, 7):
        comparisons.notice(NEW, _window(_sketch("drift", NEW, window, 3)), display)
    comparisons.notice(NEW, _window(_sketch("vitals", NEW, 5, 3)), display)
    (view,) = comparisons.views()
    assert (view.old, view.new, view.since_ms) == (OLD, NEW, 5 * WINDOW_MS)


def test_each_route_has_a_swap_of_its_own() -> None:
    display = Display(WINDOW_MS, 900_000)
    comparisons = VersionComparisons(MonitorPlan())
    for route in ("/chat", "/v1/chat/completions"):
        old = msgspec.structs.replace(OLD, route=route)
        display.add(_sketch("vitals", old, 0, 100))
        new = msgspec.structs.replace(NEW, route=route)
        comparisons.notice(new, _window(_sketch("vitals", new, 5, 3)), display)
    assert [view.new.route for view in comparisons.views()] == ["/chat", "/v1/chat/completions"]


def test_swaps_share_one_part_of_the_budget() -> None:
    display = Display(WINDOW_MS, 900_000)
    comparisons = VersionComparisons(MonitorPlan())
    display.add(_sketch("vitals", OLD, 0, 100))
    start = 0
    for number in range(30):
        new = msgspec.structs.replace(NEW, version=f"w{number}")
        start += 86_400_000 // WINDOW_MS
        window = _window(_sketch("vitals", new, start, 100))
        comparisons.notice(new, window, display)
        display.add(window.sketches[0])
    spent = [2 * len(one.metrics) * one.metrics[0].alpha for one in comparisons.known]
    assert comparisons.state().allowance > 0
    # One a day: each gets what a day adds, a thirtieth of the share.
    assert spent[-1] == pytest.approx(SHARES["swap"] / 30, rel=0.05)


def test_the_state_is_kept(traffic: Traffic) -> None:
    comparison = side_by_side(swap_of(traffic), traffic, range(100, 110))
    state = VersionComparisonsState(comparisons=(comparison,), allowance=0.01, allowance_ms=7)
    written = msgspec.json.encode(VersionComparisons(MonitorPlan(), state).state())
    assert msgspec.json.decode(written, type=VersionComparisonsState) == state


def test_a_cold_start_is_one_annotation(traffic: Traffic) -> None:
    display = Display(WINDOW_MS, 900_000)
    comparisons = VersionComparisons(MonitorPlan())
    for before in range(20):
        display.add(traffic.vitals(before, 5))
    said = []
    for number in range(60):
        sketch = traffic.vitals(20 + number, 2, version=2)
        window = _window(sketch)
        comparisons.notice(sketch.segment, window, display)
        display.add(sketch)
        comparisons.advance([sketch], display, window.end_ms)
        said += [
            verdict
            for verdict in comparisons.verdicts("vitals", sketch.segment, window.end_ms)
            if verdict.monitor == "swap.cold_start"
        ]
    (verdict,) = said
    assert verdict.state == State.OK
    assert "The 60 answers of its first 60 s" in verdict.sentence
