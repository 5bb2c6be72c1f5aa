from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tidegauge.demo.facts import Summary
from tidegauge.demo.promises import Milestones, promises
from tidegauge.demo.show import show
from tidegauge.demo.summary import summarise
from tidegauge.monitoring.ledger import CaptureAccount, DeliveryAccount, JudgeAccount, Ledger
from tidegauge.monitoring.view import (
    MetricComparisonView,
    MonitorView,
    SegmentView,
    StateChange,
    VersionComparisonView,
)
from tidegauge.reports.quality import Estimate
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Effect, Monitor, State, Verdict
from tidegauge.schemas.sketches import Exemplar, Sketch, SketchKind, SourceRange
from tidegauge.streaming import histogram
from tidegauge.streaming.merging import moments_of

TURNS = Milestones(
    normal_ms=100, watching_ms=1_000, shift_ms=10_000, new_version_ms=20_000, end_ms=30_000
)
V1 = Segment(model="assistant", version="v1", route="/chat")
V2 = Segment(model="assistant", version="v2", route="/v1/chat/completions")


def _sketch(kind: SketchKind, segment: Segment, **fields: object) -> Sketch:
    return msgspec.structs.replace(
        Sketch(
            kind=kind,
            producer_id="vitals/responses.v1-0",
            sequence=1,
            segment=segment,
            window_start_ms=0,
            window_ms=2_000,
            source=SourceRange(topic="responses.v1", partition=0, first_offset=0, last_offset=9),
            events=0,
        ),
        **fields,
    )


def _vitals(segment: Segment, latencies: list[float]) -> Sketch:
    return _sketch(
        "vitals",
        segment,
        events=len(latencies) + 2,
        hits={measures.ERROR: 1, measures.failed("refusal"): 3},
        trials={measures.failed("refusal"): len(latencies)},
        moments={
            measures.LATENCY_MS: moments_of(latencies),
            measures.COST_USD: moments_of([0.001] * len(latencies)),
        },
        histograms={
            measures.LATENCY_MS: histogram.add(histogram.empty(), latencies),
            measures.OUTPUT_CHARACTERS: histogram.add(histogram.empty(), [120.0, 130.0, 140.0]),
        },
        totals={
            measures.ERRORS_BY_KIND: {"unauthorized": 1, "upstream_timeout": 1},
            measures.REQUESTS_BY_CUSTOMER: {"acme": len(latencies)},
            measures.COST_NANOUSD_BY_CUSTOMER: {"acme": len(latencies) * 1_000_000},
        },
    )


def _quality(segment: Segment, judge: str, *, qualified: bool) -> Sketch:
    asked = {measures.unqualified(judge): 40, measures.invalid(judge): 40}
    return _sketch(
        "quality",
        segment,
        events=40,
        hits={} if qualified else {measures.unqualified(judge): 40},
        trials=asked,
        moments={
            measures.weight(judge): moments_of([1.0] * 40),
            measures.weighted(judge, "fluency"): moments_of([0.5] * 40),
            measures.cross(judge, "fluency"): moments_of([0.5] * 40),
        },
    )


def _checked(sketch: Sketch) -> Sketch:
    """Add answers that were held against their context."""
    checked, unsupported = (
        name("support@00000000") for name in (measures.grounding_checked, measures.hallucinated)
    )
    return msgspec.structs.replace(
        sketch,
        hits={**sketch.hits, checked: 20, unsupported: 15},
        totals={measures.CONTEXT: {"given": 20, "none": 60, "cut": 3}},
    )


def _estimate(found: Sketch, label: str, name: str) -> Estimate:
    weights = found.moments[measures.weight(label)]
    weighted = found.moments[measures.weighted(label, name)]
    mean = weighted.total / weights.total
    return Estimate(mean, mean - 0.1, mean + 0.1, weights.n)


def _change(monitor: str, time_ms: int, after: State) -> StateChange:
    return StateChange(
        monitor=monitor,
        signal=Monitor.parse(monitor).signal,
        segment=V1,
        time_ms=time_ms,
        before=State.OK,
        after=after,
        sentence="it changed",
    )


def _ledger(*, missing: int = 0) -> Ledger:
    return Ledger(
        captures=(
            CaptureAccount(
                producer_id="gateway-1",
                time_ms=30_000,
                served=84,
                captured=84,
                dropped={},
                unaccounted=0,
                final=False,
            ),
        ),
        deliveries=(
            DeliveryAccount(
                topic="responses.v1",
                kind="vitals",
                captured=84,
                shipped=84,
                processed=84 - missing,
                dead_lettered=0,
                repeated=0,
                unannounced=0,
                missing=missing,
            ),
        ),
        judging=JudgeAccount(sampled=80, judged=78, skipped={"no_text": 2}),
    )


def _view(*history: StateChange, missing: int = 0) -> MonitorView:
    verdict = Verdict(
        monitor="drift.topics",
        signal="drift",
        segment=Segment(model="assistant"),
        time_ms=29_000,
        state=State.WARN,
        sentence="People ask about other things than before.",
        log_statistic=40.0,
        log_threshold=15.0,
        effects=(
            Effect(
                indicator="cluster/7",
                title="electric, charge, car",
                baseline_rate=0.01,
                low=0.002,
                high=0.03,
                hits=40,
                trials=60,
                rate_low=0.54,
                rate_high=0.78,
                share=0.6,
                exemplars=(
                    Exemplar(
                        request_id="r1",
                        rank=0.1,
                        text="How do I [red]charge[/] it?",
                        customer="acme",
                    ),
                ),
            ),
        ),
    )
    return MonitorView(
        time_ms=31_000,
        started_ms=0,
        window_ms=2_000,
        display_range_ms=900_000,
        segments=(
            SegmentView(
                segment=V1,
                first_ms=0,
                last_ms=20_000,
                display_range={},
                total={
                    "vitals": _vitals(V1, [float(n) for n in range(1, 41)]),
                    "quality": _quality(V1, "rubric@00000000", qualified=False),
                },
            ),
            SegmentView(
                segment=V2,
                first_ms=20_000,
                last_ms=30_000,
                display_range={},
                total={
                    "vitals": _vitals(V2, [float(n) for n in range(41, 81)]),
                    "quality": _checked(_quality(V2, "likelihood@00000000", qualified=True)),
                },
            ),
        ),
        verdicts=(verdict,),
        history=history,
        alerts=(),
        ledger=_ledger(missing=missing),
        progress=(),
        version_comparisons=(),
    )


GOOD = (
    _change("drift.any", 14_000, State.WARN),
    _change("quality.any", 26_000, State.CRITICAL),
    _change("quality.hallucination", 26_000, State.WARN),
    _change("latency.any", 5_000, State.WARN),
)


def _kept(*history: StateChange, missing: int = 0) -> dict[str, bool]:
    return {
        promise.name: promise.kept for promise in promises(_view(*history, missing=missing), TURNS)
    }


def _summary(view: MonitorView) -> Summary:
    return summarise(
        view,
        TURNS,
        estimator=_estimate,
        page="http://127.0.0.1:1",
        report="http://127.0.0.1:1/reports/r1",
        report_file="/tmp/reports/r1.html",  # noqa: S108 - only a name
        seconds_to_first_verdict=70.0,
        seconds=300.0,
    )


def test_alarms_after_their_turns_keep_every_promise() -> None:
    assert all(_kept(*GOOD).values())
    assert len(_kept(*GOOD)) == 7


@pytest.mark.parametrize(
    ("history", "missing", "broken"),
    [
        (GOOD[1:], 0, {"an alarm of drift after the shift of the topics"}),
        (
            (_change("drift.any", 9_999, State.WARN), *GOOD),
            0,
            {"no alarm of drift before the shift of the topics"},
        ),
        (
            (_change("quality.any", 15_000, State.INFO), *GOOD),
            0,
            {"no alarm of quality before the new version"},
        ),
        (
            (GOOD[0], GOOD[2], _change("quality.any", 26_000, State.INFO)),
            0,
            {"an alarm of quality after the new version"},
        ),
        (
            (GOOD[0], GOOD[2], _change("quality.any", 26_000, State.UNQUALIFIED)),
            0,
            {"an alarm of quality after the new version"},
        ),
        (GOOD[:2], 0, {"an alarm of hallucination after the new version"}),
        (
            (_change("quality.hallucination", 15_000, State.INFO), *GOOD),
            0,
            {"no alarm of hallucination before the new version"},
        ),
        (GOOD, 3, {"the ledger balances"}),
    ],
)
def test_each_broken_promise_is_named(
    history: tuple[StateChange, ...], missing: int, broken: set[str]
) -> None:
    kept = _kept(*history, missing=missing)
    assert {name for name, held in kept.items() if not held} == broken
    assert not _summary(_view(*history, missing=missing)).all_kept


def test_a_monitor_that_has_seen_nothing_keeps_no_ledger() -> None:
    view = msgspec.structs.replace(
        _view(*GOOD),
        ledger=Ledger(captures=(), deliveries=(), judging=_ledger().judging),
    )
    assert not promises(view, TURNS)[-1].kept


def test_numbers_are_added_up_over_segments() -> None:
    summary = _summary(_view(*GOOD))
    vitals = summary.vitals
    assert vitals.requests == 84
    assert vitals.latency_ms.n == 80
    assert vitals.latency_ms.p50 == pytest.approx(40, rel=0.03)
    assert vitals.latency_ms.p99 == pytest.approx(79, rel=0.03)
    assert vitals.median_response_characters == pytest.approx(130, rel=0.01)
    assert vitals.errors_by_kind == {"unauthorized": 2, "upstream_timeout": 2}
    assert vitals.failed_checks == {"refusal": (6, 80)}
    assert vitals.requests_per_usd == pytest.approx(1_000)
    assert [(line.name, line.requests) for line in vitals.customers] == [("acme", 80)]
    assert {name: facts.requests for name, facts in summary.vitals_by_version.items()} == {
        "v1": 42,
        "v2": 42,
    }


def test_judges_are_shown_with_their_standing() -> None:
    judges = {facts.judge: facts for facts in _summary(_view(*GOOD)).judges}
    assert judges["rubric"].qualified is False
    assert judges["likelihood"].qualified is True
    assert judges["rubric"].mean == pytest.approx(0.5)
    assert judges["rubric"].judged_share == pytest.approx(0.5)


def test_a_judge_without_a_valid_score_is_shown() -> None:
    view = _view(*GOOD)
    first, *others = view.segments
    mute = msgspec.structs.replace(first.total["quality"], moments={})
    first = msgspec.structs.replace(first, total={**first.total, "quality": mute})
    (found,) = (
        facts
        for facts in _summary(msgspec.structs.replace(view, segments=(first, *others))).judges
        if facts.judge == "rubric"
    )
    assert (found.score, found.mean, found.qualified) == ("", None, False)


def test_what_drove_the_drift_is_told_with_examples() -> None:
    (finding,) = _summary(_view(*GOOD)).drift
    assert finding.state == "warn"
    assert finding.evidence[0].title == "electric, charge, car"
    assert finding.evidence[0].examples == ("How do I [red]charge[/] it?",)


def test_the_summary_can_be_written_and_read(tmp_path: Path) -> None:
    summary = _summary(_view(*GOOD))
    path = tmp_path / "summary.json"
    path.write_bytes(msgspec.json.encode(summary))
    assert msgspec.json.decode(path.read_bytes(), type=Summary) == summary


def test_the_summary_is_printed_and_markup_in_prompts_stays_text() -> None:
    console = Console(width=120, record=True, force_terminal=False)
    show(_summary(_view(*GOOD)), console)
    said = console.export_text()
    assert "How do I [red]charge[/] it?" in said
    assert "electric, charge, car" in said
    assert "unqualified" in said
    assert "84 served = 84 captured + 0 dropped" in said
    assert "80 sampled = 78 judged + 2 skipped (2 no_text)" in said
    assert said.count("kept") >= 5


def test_a_view_without_anything_can_be_summarised() -> None:
    empty = MonitorView(
        time_ms=0,
        started_ms=0,
        window_ms=2_000,
        display_range_ms=900_000,
        segments=(),
        verdicts=(),
        history=(),
        alerts=(),
        ledger=_ledger(),
        progress=(),
        version_comparisons=(),
    )
    summary = _summary(empty)
    assert summary.vitals.requests == 0
    assert not summary.all_kept
    show(summary, Console(width=100, record=True))


def test_a_swap_is_shown_with_its_route_and_verdict() -> None:
    comparison = MetricComparisonView(
        metric="quality.likelihood.fluency",
        outcome="worse",
        property="fluency by likelihood at most -1.08",
        margin=0.05,
        old_rate=0.25,
        new_rate=1.0,
        low=0.42,
        high=0.85,
        old_events=160,
        new_events=32,
    )
    swap = VersionComparisonView(old=V1, new=V2, since_ms=20_000, metrics=(comparison,))
    console = Console(width=140, record=True)
    show(_summary(msgspec.structs.replace(_view(*GOOD), version_comparisons=(swap,))), console)
    said = console.export_text()
    assert "assistant /v1/chat/completions: v2 against v1" in said
    assert "100% against 25% (fluency by likelihood at most -1.08; +42 to +85 points)" in said


def test_unsupported_answers_are_told_by_version() -> None:
    summary = _summary(_view(*GOOD))
    (found,) = summary.hallucination
    assert (found.version, found.with_context, found.unsupported, found.rate) == (
        "v2",
        20,
        15,
        0.75,
    )
    assert (found.context_share, found.not_measured) == (0.25, {"cut": 3})
    console = Console(record=True, width=110)
    show(summary, console)
    assert re.search(r"v2 +20 \(25%\) +15 +75%", console.export_text())
