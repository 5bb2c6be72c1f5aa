from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import pytest

from tidegauge.detection.indicators import Hits, Indicator
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
    from tests.monitoring.conftest import Kit

ALPHA = 0.05


def swap_of(kit: Kit, windows: int = 60) -> VersionComparison:
    vitals = merge_all([kit.vitals(window, 5) for window in range(windows)])
    quality = merge_all([kit.quality(window, 5) for window in range(windows)])
    assert vitals is not None
    assert quality is not None
    return begin_comparison(
        kit.version(1), kit.version(2), kit.start_of(windows), [vitals, quality]
    )


def outcomes(swap: VersionComparison) -> dict[str, str]:
    return {contest.measure: contest.outcome for contest in swap.contests}


def after(swap: VersionComparison, kit: Kit, windows: int, **change: float) -> VersionComparison:
    """Let the new version answer ``windows`` windows; ``shift`` of its scores."""
    shift = change.pop("shift", 0.0)
    for window in range(100, 100 + windows):
        end = kit.start_of(window + 1)
        for sketch in (
            kit.vitals(window, 5, version=2, **change),
            kit.quality(window, 5, shift=shift, segment=kit.version(2)),
        ):
            swap = advance_comparison(swap, sketch, alpha=ALPHA, end_ms=end)
    return swap


def test_what_is_compared_is_chosen_on_the_old_version(kit: Kit) -> None:
    swap = swap_of(kit)
    assert set(outcomes(swap)) == {"errors", "latency", "cost", "quality.likelihood.fluency"}
    assert set(outcomes(swap).values()) == {"undecided"}
    rates = {contest.measure: contest.old.rate for contest in swap.contests}
    assert rates["latency"] == pytest.approx(0.05, abs=0.01)
    assert rates["quality.likelihood.fluency"] == pytest.approx(0.25, abs=0.01)


def test_a_worse_version_is_worse_and_only_there(kit: Kit) -> None:
    found = outcomes(after(swap_of(kit), kit, 40, shift=0.8))
    assert found["quality.likelihood.fluency"] == "worse"
    assert "worse" not in (found["latency"], found["errors"], found["cost"])


def test_a_better_version_is_better(kit: Kit) -> None:
    found = outcomes(after(swap_of(kit), kit, 200, shift=-0.5))
    assert found["quality.likelihood.fluency"] == "better"


def test_the_same_again_is_in_the_end_not_worse(kit: Kit) -> None:
    found = outcomes(after(swap_of(kit, windows=400), kit, 500))
    assert set(found.values()) <= {"not worse", "better"}


def test_an_outcome_is_kept(kit: Kit) -> None:
    swap = after(swap_of(kit), kit, 40, shift=0.8)
    decided = [c.decided_ms for c in swap.contests if c.outcome == "worse"]
    swap = after(swap, kit, 100, shift=-0.5)
    assert [c.decided_ms for c in swap.contests if c.outcome == "worse"] == decided


def test_the_old_version_goes_on_counting_beside_the_new(kit: Kit) -> None:
    swap = swap_of(kit)
    before = swap.contests[0].old.trials
    swap = advance_comparison(swap, kit.vitals(70, 5), alpha=ALPHA, end_ms=kit.start_of(71))
    assert (swap.contests[0].old.trials, swap.contests[0].new.trials) == (before + 5, 0)


def test_an_unqualified_judge_compares_nothing(kit: Kit) -> None:
    quality = merge_all([kit.quality(window, 5) for window in range(40)])
    assert quality is not None
    failing = msgspec.structs.replace(quality, hits={measures.unqualified(kit.judge): 1})
    assert begin_comparison(kit.version(1), kit.version(2), 0, [failing]).contests == ()


def test_verdicts_say_it_in_words(kit: Kit) -> None:
    swap = after(swap_of(kit), kit, 40, shift=0.8)
    said = {
        v.monitor: v for v in comparison_verdicts(swap, kind="quality", time_ms=kit.start_of(140))
    }
    worse = said["swap.quality.likelihood.fluency"]
    assert worse.state == State.WARN
    assert "m, version v2, route /chat is worse than m, version v1, route /chat" in worse.sentence
    assert worse.effects[0].rate_low > worse.effects[0].high
    shown = {c.measure: c for c in comparison_view(swap).comparisons}
    assert shown["quality.likelihood.fluency"].low > 0
    vitals = comparison_verdicts(swap, kind="vitals", time_ms=0)
    assert {v.state for v in vitals} <= {State.OK, State.LOW_DATA}


def ever_wrong(kit: Kit, looks: int) -> bool:
    indicator = Indicator(name="error", title="failed", family="errors", counter=Hits("error"))
    old = Side(hits=int(kit.rng.binomial(300, 0.1)), trials=300)
    contest = MetricComparison(
        measure="errors", kind="vitals", indicator=indicator, margin=-1.0, old=old
    )
    swap = VersionComparison(
        old=kit.version(1), new=kit.version(2), since_ms=0, contests=(contest,)
    )
    writer = kit.writers["vitals"]
    for window in range(looks):
        hits = {"error": int(kit.rng.binomial(20, 0.1))}
        sketch = writer.sketch(
            window, segment=kit.version(2), events=20, hits=hits, trials={"error": 20}
        )
        swap = advance_comparison(swap, sketch, alpha=ALPHA, end_ms=kit.start_of(window + 1))
    return swap.contests[0].outcome != "undecided"


def check_miscoverage(kit: Kit, runs: int) -> None:
    wrong = sum(ever_wrong(kit, 60) for _ in range(runs)) / runs
    assert wrong <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_looking_often_does_not_make_a_difference_in_brief(kit: Kit) -> None:
    check_miscoverage(kit, 10)


@pytest.mark.stats
def test_looking_often_does_not_make_a_difference(kit: Kit) -> None:
    check_miscoverage(kit, 150)


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
    swaps = VersionComparisons(0.05)
    # The drift worker is ahead of the vitals worker: its windows close first, and several.
    for window in (5, 6, 7):
        swaps.notice(NEW, _window(_sketch("drift", NEW, window, 3)), display)
    swaps.notice(NEW, _window(_sketch("vitals", NEW, 5, 3)), display)
    (view,) = swaps.views()
    assert (view.old, view.new, view.since_ms) == (OLD, NEW, 5 * WINDOW_MS)


def test_each_route_has_a_swap_of_its_own() -> None:
    display = Display(WINDOW_MS, 900_000)
    swaps = VersionComparisons(0.05)
    for route in ("/chat", "/v1/chat/completions"):
        old = msgspec.structs.replace(OLD, route=route)
        display.add(_sketch("vitals", old, 0, 100))
        new = msgspec.structs.replace(NEW, route=route)
        swaps.notice(new, _window(_sketch("vitals", new, 5, 3)), display)
    assert [view.new.route for view in swaps.views()] == ["/chat", "/v1/chat/completions"]
