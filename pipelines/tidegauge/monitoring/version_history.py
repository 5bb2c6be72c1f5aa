"""What a version's answers were like, hour by hour, by the metrics that versions are compared by.

Every metric is a rate of something unwanted: failed, slower than three quarters of this version's
answers at the same load and lengths, dearer than nine tenths, scored below its first quartile. The
thresholds are chosen on the version's own first answers and stay, so that its hours can be compared
with each other and with those of the version that follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tidegauge.detection.before_after import HourCounts
from tidegauge.detection.indicators import Hits, Indicator, StratifiedTail, Tail, count_asked
from tidegauge.monitoring.catalog import comparison_monitor, judge_name, judged_scores
from tidegauge.monitoring.plan import FEWEST
from tidegauge.monitoring.strata_cuts import group_strata, known_strata, quantile_bucket
from tidegauge.reports.formatting import count, dollars, number
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Monitor
from tidegauge.schemas.sketches import Histogram, Sketch, SketchKind
from tidegauge.streaming import histogram

__all__ = [
    "HOUR_MS",
    "ComparedMetric",
    "VersionHistory",
    "add_hour",
    "choose_metrics",
    "observe_version",
]

HOUR_MS = 3_600_000
_MOST_HOURS = 14 * 24
_FIRST_CHOICE = 200
_LAST_CHOICE = 1_600
"""Numbers at which thresholds are chosen again, now for several groups of strata, and the hours
counted afresh; from then on they stay."""
_FEWEST_IN_STRATUM = 100
_DURATION_LEVEL, _COST_LEVEL, _SCORE_LEVEL = 0.75, 0.9, 0.25
_COSTS = {"cost": measures.COST_USD, "work": measures.WORK_TOKENS}
_DURATIONS = {"latency": measures.LATENCY_MS, "first_token": measures.TIME_TO_FIRST_TOKEN_MS}


class ComparedMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric that versions are compared by.

    Attributes:
        monitor: The monitor of the comparison; its kind is the metric.
        kind: Kind of worker whose sketches hold the counts.
        indicator: The unwanted property that is counted.
        chosen_on: Numbers that the threshold was chosen on; 0 without a threshold.
        hours: The version's counts by hour, oldest first.
    """

    monitor: Monitor
    kind: SketchKind
    indicator: Indicator
    chosen_on: int = 0
    hours: tuple[HourCounts, ...] = ()

    @property
    def name(self) -> str:
        """Name of the metric, such as ``latency`` or ``quality.<judge>.<score>``."""
        monitor = self.monitor
        return f"{monitor.kind}.{monitor.subject}" if monitor.subject else monitor.kind


class VersionHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The hours of one version by each metric."""

    segment: Segment
    metrics: tuple[ComparedMetric, ...] = ()


def choose_metrics(total: Sketch, *, fewest: int = FEWEST) -> Iterator[ComparedMetric]:
    """Yield the metrics that a version has enough numbers for, with their thresholds.

    Args:
        total: The version's sketches of one kind, added up.
        fewest: Least number of numbers.
    """
    if total.kind == "vitals":
        yield _metric("errors", "vitals", "failed by the service", Hits(measures.ERROR))
        for kind, value in _DURATIONS.items():
            by_stratum = total.strata.get(value, {})
            n = sum(histogram.count(values) for values in by_stratum.values())
            if n >= fewest and (buckets := _stratified(by_stratum)):
                title = f"{kind.replace('_', ' ')} above the old version's P75 at the same load"
                counter = StratifiedTail(value, buckets, "above")
                yield _metric(kind, "vitals", title, counter, chosen_on=n)
        for kind, value in _COSTS.items():
            if (edge := _edge(total, value, _COST_LEVEL, fewest)) is not None:
                bucket, threshold, n = edge
                counter_of_cost = Tail(value, bucket, "above")
                amount = dollars(threshold) if kind == "cost" else f"{count(threshold)} tokens"
                title = f"{kind} above {amount}"
                yield _metric(kind, "vitals", title, counter_of_cost, chosen_on=n)
    if total.kind == "quality":
        for label, name in judged_scores(total):
            value = measures.score(label, name)
            if total.hits.get(measures.unqualified(label), 0):
                continue
            if (edge := _edge(total, value, _SCORE_LEVEL, fewest)) is not None:
                bucket, threshold, n = edge
                title = f"{name} by {judge_name(label)} at most {number(threshold)}"
                subject = f"{judge_name(label)}.{name}"
                counter_of_score = Tail(value, bucket, "below")
                yield _metric("quality", "quality", title, counter_of_score, subject, chosen_on=n)


def _metric(  # noqa: PLR0913 - the parts of a metric
    kind: str,
    sketch_kind: SketchKind,
    title: str,
    counter: Hits | Tail | StratifiedTail,
    subject: str = "",
    *,
    chosen_on: int = 0,
) -> ComparedMetric:
    name = f"{kind}.{subject}" if subject else kind
    return ComparedMetric(
        monitor=comparison_monitor(kind, subject),
        kind=sketch_kind,
        indicator=Indicator(name=name, title=title, family=name, counter=counter),
        chosen_on=chosen_on,
    )


def _stratified(by_stratum: dict[str, Histogram]) -> dict[str, int]:
    """Return a bucket for each known stratum: the quantile of its group."""
    buckets = {
        stratum: quantile_bucket(group.values, _DURATION_LEVEL)
        for group in group_strata(by_stratum)
        for stratum in group.strata
    }
    known = known_strata(by_stratum)
    return {stratum.name: buckets[like] for stratum, like in sorted(known.items())}


def _edge(total: Sketch, value: str, level: float, fewest: int) -> tuple[int, float, int] | None:
    values = total.histograms.get(value)
    if values is None or (n := histogram.count(values)) < fewest:
        return None
    bucket = quantile_bucket(values, level)
    return bucket, histogram.upper_edge(bucket, values.accuracy), n


def observe_version(history: VersionHistory, total: Sketch, sketch: Sketch) -> VersionHistory:
    """Count a version's closed window in its hour; choose thresholds where that is due.

    Args:
        history: The version's hours so far.
        total: All its sketches of the window's kind, added up.
        sketch: The window.
    """
    known = {metric.monitor: metric for metric in history.metrics}
    if any(_due(known.get(monitor), n) for monitor, n in _numbers(total)):
        for metric in choose_metrics(total, fewest=_FIRST_CHOICE):
            if _due(known.get(metric.monitor), metric.chosen_on):
                known[metric.monitor] = metric
    metrics = tuple(
        _counted(_extended(metric, total, sketch), sketch) if metric.kind == sketch.kind else metric
        for _, metric in sorted(known.items())
    )
    return msgspec.structs.replace(history, metrics=metrics)


def _numbers(total: Sketch) -> Iterator[tuple[Monitor, int]]:
    """Yield how many numbers there are of each metric that has a threshold."""
    if total.kind == "vitals":
        yield comparison_monitor("errors"), total.events
        named = {**_DURATIONS, **_COSTS}
        for kind, value in named.items():
            if (values := total.moments.get(value)) is not None:
                yield comparison_monitor(kind), values.n
    for label, name in judged_scores(total):
        values = total.moments.get(measures.score(label, name))
        if values is not None and not total.hits.get(measures.unqualified(label), 0):
            yield comparison_monitor("quality", f"{judge_name(label)}.{name}"), values.n


def _due(metric: ComparedMetric | None, n: int) -> bool:
    """Return whether a metric's threshold is to be chosen, with so many numbers."""
    if metric is None:
        return n >= _FIRST_CHOICE or n == 0
    return 0 < metric.chosen_on < _LAST_CHOICE <= n


def _extended(metric: ComparedMetric, total: Sketch, sketch: Sketch) -> ComparedMetric:
    """Choose thresholds for strata of the window that have become frequent enough since."""
    counter = metric.indicator.counter
    if not isinstance(counter, StratifiedTail):
        return metric
    by_stratum = total.strata.get(counter.value, {})
    added = {
        stratum: quantile_bucket(by_stratum[stratum], _DURATION_LEVEL)
        for stratum in sketch.strata.get(counter.value, {})
        if stratum not in counter.buckets
        and histogram.count(by_stratum[stratum]) >= _FEWEST_IN_STRATUM
    }
    if not added:
        return metric
    wider = msgspec.structs.replace(counter, buckets={**counter.buckets, **added})
    indicator = msgspec.structs.replace(metric.indicator, counter=wider)
    return msgspec.structs.replace(metric, indicator=indicator)


def _counted(metric: ComparedMetric, sketch: Sketch) -> ComparedMetric:
    counts = count_asked(metric.indicator, sketch)
    hours = add_hour(metric.hours, sketch.window_start_ms, counts)
    return msgspec.structs.replace(metric, hours=hours)


def add_hour(
    hours: Sequence[HourCounts], start_ms: int, counts: tuple[int, int]
) -> tuple[HourCounts, ...]:
    """Return the hours, oldest first, with a window's hits and trials added to its hour."""
    hits, trials = counts
    if not trials:
        return tuple(hours)
    hour = start_ms // HOUR_MS
    kept = list(hours)
    for index in range(len(kept) - 1, -1, -1):
        if kept[index].hour == hour:
            found = kept[index]
            kept[index] = HourCounts(hour, found.hits + hits, found.trials + trials)
            return tuple(kept)
        if kept[index].hour < hour:
            kept.insert(index + 1, HourCounts(hour, hits, trials))
            return tuple(kept[-_MOST_HOURS:])
    return (HourCounts(hour, hits, trials), *kept)[-_MOST_HOURS:]
