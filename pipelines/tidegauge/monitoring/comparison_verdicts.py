"""What a comparison of two versions says: verdicts, views for the pages, sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tidegauge.detection.before_after import comparable_from
from tidegauge.detection.confidence import clopper_pearson
from tidegauge.monitoring.catalog import COLD_START
from tidegauge.monitoring.verdicts import segment_title
from tidegauge.monitoring.version_comparison import (
    COLD_START_MS,
    MetricComparison,
    Side,
    VersionComparison,
)
from tidegauge.monitoring.version_history import HOUR_MS
from tidegauge.monitoring.view import MetricComparisonView, Outcome, VersionComparisonView
from tidegauge.reports.formatting import count, duration, milliseconds, moment, percent, points
from tidegauge.schemas.findings import Effect, State, Verdict
from tidegauge.schemas.sketches import SketchKind

__all__ = ["cold_start_verdict", "comparison_verdicts", "comparison_view"]

_STATES: dict[Outcome, State] = {
    "better": State.OK,
    "not worse": State.OK,
    "worse": State.WARN,
    "undecided": State.LOW_DATA,
}
_CONFIDENCE = 0.95


def comparison_view(comparison: VersionComparison) -> VersionComparisonView:
    """Return a comparison as the pages show it."""
    return VersionComparisonView(
        old=comparison.old,
        new=comparison.new,
        since_ms=comparison.since_ms,
        metrics=tuple(_metric_view(comparison, one) for one in comparison.metrics),
    )


def _metric_view(comparison: VersionComparison, one: MetricComparison) -> MetricComparisonView:
    old, new = _sides(one)
    return MetricComparisonView(
        metric=one.metric.name,
        outcome=one.outcome,
        property=one.metric.indicator.title,
        margin=one.margin,
        old_rate=old.rate,
        new_rate=new.rate,
        low=one.low,
        high=one.high,
        old_events=old.trials,
        new_events=new.trials,
        way="side by side" if one.side_by_side else "one after the other",
        note=_note(comparison, one),
        decided_ms=one.decided_ms,
    )


def _sides(one: MetricComparison) -> tuple[Side, Side]:
    """Return the counts of both versions that the interval rests on."""
    if one.side_by_side:
        return one.old, one.new
    old, new = (
        Side(hits=sum(h.hits for h in hours), trials=sum(h.trials for h in hours))
        for hours in (one.metric.hours, one.hours)
    )
    return old, new


def comparison_verdicts(
    comparison: VersionComparison, *, kind: SketchKind, time_ms: int
) -> Iterator[Verdict]:
    """Yield a verdict for each metric whose numbers come from a kind of worker."""
    for one in comparison.metrics:
        if one.metric.kind == kind and one.hours:
            yield _verdict(comparison, one, time_ms)


def _verdict(comparison: VersionComparison, one: MetricComparison, time_ms: int) -> Verdict:
    old, new = _sides(one)
    before = clopper_pearson(old.hits, old.trials, alpha=1 - _CONFIDENCE)
    after = clopper_pearson(new.hits, new.trials, alpha=1 - _CONFIDENCE)
    effect = Effect(
        indicator=one.metric.indicator.name,
        title=one.metric.indicator.title,
        baseline_rate=old.rate or 0.0,
        low=float(before[0]),
        high=float(before[1]),
        hits=new.hits,
        trials=new.trials,
        rate_low=float(after[0]),
        rate_high=float(after[1]),
        share=1.0,
    )
    closed = one.outcome == "worse" and one.closed
    return Verdict(
        monitor=one.metric.monitor.name,
        signal="swap",
        segment=comparison.new,
        time_ms=time_ms,
        state=State.INFO if closed else _STATES[one.outcome],
        sentence=_sentence(comparison, one),
        since_ms=comparison.since_ms,
        events=new.trials,
        baseline_segment=comparison.old.key,
        effects=(effect,),
    )


def _sentence(comparison: VersionComparison, one: MetricComparison) -> str:
    relation = {
        "better": "is better than",
        "not worse": "is not worse than",
        "worse": "is worse than",
        "undecided": "cannot yet be told from",
    }[one.outcome]
    said = f"By {one.metric.name.replace('_', ' ')}, {segment_title(comparison.new)} {relation} "
    said += segment_title(comparison.old)
    note = _note(comparison, one)
    if one.high - one.low >= 1:  # nothing is known of the difference yet
        return f"{said}. {note}".strip()
    old, new = _sides(one)
    margin = points(one.margin).removeprefix("+")
    numbers = (
        f"{one.metric.indicator.title}: {_rates(one, old, new)}, a difference between "
        f"{points(one.low)} and {points(one.high)} points at any time of looking; "
        f"margin {margin} points"
    )
    return f"{said} ({numbers}). {note}".strip()


def _rates(one: MetricComparison, old: Side, new: Side) -> str:
    if one.side_by_side:
        return (
            f"{percent(new.rate or 0)} of {count(new.trials)} against {percent(old.rate or 0)} of "
            f"{count(old.trials)} in the same windows"
        )
    after = one.after
    return (
        f"{percent(after.new_rate or 0)} against {percent(after.old_rate or 0)} at the same times "
        f"of day, over {count(after.hours)} hours"
    )


def _note(comparison: VersionComparison, one: MetricComparison) -> str:
    """Return why the outcome is undecided, and from when it may not be; empty if it is decided."""
    if one.outcome != "undecided":
        return ""
    if one.side_by_side:
        return "More requests that both versions answer in the same windows are needed."
    if one.after.blocks:
        return (
            "Hours of one version differ among themselves by as much as the versions do: more "
            "hours are needed, or both versions side by side."
        )
    if one.after.hours:
        return (
            f"Hours compared so far: {count(one.after.hours)}. These are too few to know how much "
            "hours differ among themselves."
        )
    first = (comparison.since_ms // HOUR_MS) + 1
    hour = comparable_from(one.metric.hours, first)
    if hour is None:
        return (
            f"The version before has no whole hour by this metric before {_time(comparison)}: only "
            "both versions side by side can tell."
        )
    return (
        "They have not answered side by side, and one after the other they are compared at the "
        f"same times of day: from {moment((hour + 1) * HOUR_MS)} on."
    )


def _time(comparison: VersionComparison) -> str:
    return moment(comparison.since_ms)


def cold_start_verdict(comparison: VersionComparison, time_ms: int) -> Verdict:
    """Return what a new version's cold start was like: an annotation, never an alarm."""
    cold = comparison.cold
    said = (
        f"{segment_title(comparison.new)} began to answer at {_time(comparison)}, after "
        f"{segment_title(comparison.old)}. The {count(len(cold))} answers of its first "
        f"{duration(COLD_START_MS / 1000)} are taken for a cold start and not tested for latency"
    )
    if cold:
        said += f"; half of them took up to {milliseconds(float(np.median(cold)))}"
    return Verdict(
        monitor=COLD_START.name,
        signal="swap",
        segment=comparison.new,
        time_ms=time_ms,
        state=State.OK,
        sentence=f"{said}.",
        since_ms=comparison.since_ms,
        events=len(cold),
        baseline_segment=comparison.old.key,
    )
