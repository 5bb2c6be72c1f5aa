"""Comparison of a model's new version with the one before, metric by metric.

Every metric is a rate of something unwanted: slower than the old version's P95, failed,
more expensive than its P90, scored below its first quartile. Both rates have confidence
sequences, so the comparison may be evaluated after every window and stop when it decides:

    better      the new rate is lower            the interval of new - old lies below 0
    not worse   it is higher by less than the margin     the interval lies below the margin
    worse       the new rate is higher           the interval lies above 0
    undecided   until then

The thresholds are chosen on the old version before the new one's first answer is counted.
The old version's data comes from the time before the swap and from the time in which both
answer. If the two never ran side by side, a simultaneous change of load or topics is not
excluded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from tidegauge.detection.confidence import clopper_pearson, rate_sequence
from tidegauge.detection.indicators import Hits, Indicator, Tail, count_asked
from tidegauge.monitoring.catalog import (
    MonitorKey,
    comparison_monitor,
    judge_name,
    judged_scores,
)
from tidegauge.monitoring.display import Display
from tidegauge.monitoring.ledger import READS
from tidegauge.monitoring.rate_references import FEWEST
from tidegauge.monitoring.strata_cuts import quantile_bucket
from tidegauge.monitoring.verdicts import segment_title
from tidegauge.monitoring.view import MetricComparisonView, Outcome, VersionComparisonView
from tidegauge.monitoring.windows import MergedWindow
from tidegauge.reports.formatting import count, dollars, milliseconds, number, percent, points
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Effect, Monitor, State, Verdict
from tidegauge.schemas.sketches import Histogram, Sketch, SketchKind
from tidegauge.streaming import histogram

__all__ = [
    "MetricComparison",
    "Side",
    "VersionComparison",
    "VersionComparisons",
    "VersionComparisonsState",
    "advance_comparison",
    "begin_comparison",
    "comparison_verdicts",
    "comparison_view",
]

_MARGINS = {"latency": 0.05, "first_token": 0.05, "errors": 0.02, "cost": 0.1, "quality": 0.1}
"""Metric -> margin by which the new rate may exceed the old one and be ``not worse``."""
_STATES: dict[Outcome, State] = {
    "better": State.OK,
    "not worse": State.OK,
    "worse": State.WARN,
    "undecided": State.LOW_DATA,
}
_CONFIDENCE = 0.95


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One version's counts: all events (trials), and unwanted ones among them (hits)."""

    hits: int = 0
    trials: int = 0

    def plus(self, counts: tuple[int, int]) -> Side:
        """Return the counts with a window's counts added."""
        return Side(hits=self.hits + counts[0], trials=self.trials + counts[1])

    @property
    def rate(self) -> float | None:
        """Hits divided by trials; None without trials."""
        return self.hits / self.trials if self.trials else None


class MetricComparison(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison of two versions by one metric so far.

    Attributes:
        monitor: The monitor of the comparison; its kind is the metric.
        kind: Kind of worker whose sketches hold the counts.
        indicator: The unwanted property that is counted.
        margin: Margin by which the new rate may exceed the old one and be ``not worse``.
        old: Counts of the version before.
        new: Counts of the new version.
        low: Lower end of the interval of new minus old.
        high: Upper end.
        old_low: Lower end of the interval of the old rate.
        old_high: Upper end.
        outcome: The outcome so far; kept once decided.
        decided_ms: Time of the decision.
        acknowledged: Whether a person has acknowledged the outcome.
    """

    monitor: Monitor
    kind: SketchKind
    indicator: Indicator
    margin: float
    old: Side
    new: Side = Side()
    low: float = -1.0
    high: float = 1.0
    old_low: float = 0.0
    old_high: float = 1.0
    outcome: Outcome = "undecided"
    decided_ms: int | None = None
    acknowledged: bool = False

    @property
    def name(self) -> str:
        """Name of the metric, such as ``latency`` or ``quality.<judge>.<score>``."""
        monitor = self.monitor
        return f"{monitor.kind}.{monitor.subject}" if monitor.subject else monitor.kind


class VersionComparison(msgspec.Struct, frozen=True, kw_only=True):
    """A new version compared with the one before.

    Attributes:
        old: Segment of the version before.
        new: Segment of the new version.
        since_ms: Start of the new version's first window.
        metrics: The comparison by each metric that the old version has.
    """

    old: Segment
    new: Segment
    since_ms: int
    metrics: tuple[MetricComparison, ...]


def begin_comparison(
    old: Segment, new: Segment, since_ms: int, totals: Iterable[Sketch]
) -> VersionComparison:
    """Begin a comparison: choose its metrics and their thresholds on the old version.

    Args:
        old: Segment of the version before.
        new: Segment of the new version.
        since_ms: Start of the new version's first window.
        totals: The old version's sketches so far, one for each kind.
    """
    metrics = tuple(
        MetricComparison(
            monitor=monitor,
            kind=total.kind,
            indicator=indicator,
            margin=_MARGINS[monitor.kind],
            old=Side().plus(count_asked(indicator, total)),
        )
        for total in totals
        for monitor, indicator in _metrics(total)
    )
    return VersionComparison(old=old, new=new, since_ms=since_ms, metrics=metrics)


def _metrics(total: Sketch) -> Iterator[tuple[Monitor, Indicator]]:
    if total.kind == "vitals":
        yield (
            comparison_monitor("errors"),
            _indicator("errors", "failed by the service", Hits(measures.ERROR)),
        )
        for metric, value in (
            ("latency", measures.LATENCY_MS),
            ("first_token", measures.TIME_TO_FIRST_TOKEN_MS),
        ):
            if (edge := _edge(total, value, 0.95)) is not None:
                bucket, threshold = edge
                title = f"{metric.replace('_', ' ')} above {milliseconds(threshold)}"
                yield (
                    comparison_monitor(metric),
                    _indicator(metric, title, Tail(value, bucket, "above")),
                )
        if (edge := _edge(total, measures.COST_USD, 0.9)) is not None:
            bucket, threshold = edge
            title = f"cost above {dollars(threshold)}"
            counter = Tail(measures.COST_USD, bucket, "above")
            yield comparison_monitor("cost"), _indicator("cost", title, counter)
    if total.kind == "quality":
        for label, name in judged_scores(total):
            value = measures.score(label, name)
            if total.hits.get(measures.unqualified(label), 0):
                continue
            if (edge := _edge(total, value, 0.25)) is not None:
                bucket, threshold = edge
                subject = f"{judge_name(label)}.{name}"
                title = f"{name} by {judge_name(label)} at most {number(threshold)}"
                monitor = comparison_monitor("quality", subject)
                counter = Tail(value, bucket, "below")
                yield monitor, _indicator(f"quality.{subject}", title, counter)


def _edge(total: Sketch, value: str, level: float) -> tuple[int, float] | None:
    values: Histogram | None = total.histograms.get(value)
    if values is None or histogram.count(values) < FEWEST:
        return None
    bucket = quantile_bucket(values, level)
    return bucket, histogram.upper_edge(bucket, values.accuracy)


def _indicator(name: str, title: str, counter: Hits | Tail) -> Indicator:
    return Indicator(name=name, title=title, family=name, counter=counter)


def advance_comparison(
    comparison: VersionComparison, sketch: Sketch, *, alpha: float, end_ms: int
) -> VersionComparison:
    """Count one closed window of either version, and decide each metric that can be decided.

    Args:
        comparison: The comparison so far.
        sketch: A window of the old or of the new version.
        alpha: Probability that the comparison ever errs on one metric.
        end_ms: End of the window.
    """
    metrics = tuple(
        _advance(
            metric, sketch, is_new=sketch.segment == comparison.new, alpha=alpha, end_ms=end_ms
        )
        if metric.kind == sketch.kind
        else metric
        for metric in comparison.metrics
    )
    return msgspec.structs.replace(comparison, metrics=metrics)


def _advance(
    metric: MetricComparison, sketch: Sketch, *, is_new: bool, alpha: float, end_ms: int
) -> MetricComparison:
    counts = count_asked(metric.indicator, sketch)
    if is_new:
        metric = msgspec.structs.replace(metric, new=metric.new.plus(counts))
    else:
        metric = msgspec.structs.replace(metric, old=metric.old.plus(counts))
    metric = _bounded(metric, alpha)
    outcome = _outcome(metric)
    if outcome == metric.outcome:
        return metric
    return msgspec.structs.replace(metric, outcome=outcome, decided_ms=end_ms)


def _bounded(metric: MetricComparison, alpha: float) -> MetricComparison:
    """Return the comparison with its intervals, which are valid at all times at once."""
    sides = (metric.old, metric.new)
    low, high = rate_sequence(
        [side.hits for side in sides], [side.trials for side in sides], alpha=alpha / 2
    )
    return msgspec.structs.replace(
        metric,
        low=float(low[1] - high[0]),
        high=float(high[1] - low[0]),
        old_low=float(low[0]),
        old_high=float(high[0]),
    )


def _outcome(metric: MetricComparison) -> Outcome:
    """Return the outcome so far: ``better`` and ``worse`` are final, ``not worse`` may improve."""
    if metric.outcome in ("better", "worse"):
        return metric.outcome
    if metric.high < 0:
        return "better"
    if metric.outcome == "undecided" and metric.low > 0:
        return "worse"
    return "not worse" if metric.high <= metric.margin else metric.outcome


def comparison_view(comparison: VersionComparison) -> VersionComparisonView:
    """Return a comparison as the pages show it."""
    return VersionComparisonView(
        old=comparison.old,
        new=comparison.new,
        since_ms=comparison.since_ms,
        metrics=tuple(_metric_view(metric) for metric in comparison.metrics),
    )


def _metric_view(metric: MetricComparison) -> MetricComparisonView:
    return MetricComparisonView(
        metric=metric.name,
        outcome=metric.outcome,
        property=metric.indicator.title,
        margin=metric.margin,
        old_rate=metric.old.rate,
        new_rate=metric.new.rate,
        low=metric.low,
        high=metric.high,
        old_events=metric.old.trials,
        new_events=metric.new.trials,
        decided_ms=metric.decided_ms,
    )


def comparison_verdicts(
    comparison: VersionComparison, *, kind: SketchKind, time_ms: int
) -> tuple[Verdict, ...]:
    """Return a verdict for each metric whose numbers come from a kind of worker."""
    return tuple(
        _verdict(comparison, metric, time_ms)
        for metric in comparison.metrics
        if metric.kind == kind and metric.new.trials
    )


def _verdict(comparison: VersionComparison, metric: MetricComparison, time_ms: int) -> Verdict:
    old, new = metric.old, metric.new
    worse = metric.outcome == "worse"
    low, high = clopper_pearson(new.hits, new.trials, alpha=1 - _CONFIDENCE)
    effect = Effect(
        indicator=metric.indicator.name,
        title=metric.indicator.title,
        baseline_rate=old.rate or 0.0,
        low=metric.old_low,
        high=metric.old_high,
        hits=new.hits,
        trials=new.trials,
        rate_low=float(low),
        rate_high=float(high),
        share=1.0,
    )
    return Verdict(
        monitor=metric.monitor.name,
        signal="swap",
        segment=comparison.new,
        time_ms=time_ms,
        state=State.INFO if worse and metric.acknowledged else _STATES[metric.outcome],
        sentence=_sentence(comparison, metric),
        since_ms=comparison.since_ms,
        events=new.trials,
        baseline_segment=comparison.old.key,
        effects=(effect,),
    )


def _sentence(comparison: VersionComparison, metric: MetricComparison) -> str:
    relation = {
        "better": "is better than",
        "not worse": "is not worse than",
        "worse": "is worse than",
        "undecided": "cannot yet be told from",
    }[metric.outcome]
    old, new = metric.old, metric.new
    numbers = (
        f"{metric.indicator.title}: {percent(new.rate or 0)} of {count(new.trials)} against "
        f"{percent(old.rate or 0)} of {count(old.trials)}, a difference between "
        f"{points(metric.low)} and {points(metric.high)} points at any time of looking"
    )
    margin = points(metric.margin).removeprefix("+")
    return (
        f"By {metric.name.replace('_', ' ')}, {segment_title(comparison.new)} {relation} "
        f"{segment_title(comparison.old)} ({numbers}; margin {margin} points)."
    )


_MOST_COMPARISONS = 8
_FEWEST_RESPONSES = 30


class VersionComparisonsState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of ``VersionComparisons`` as plain data."""

    comparisons: tuple[VersionComparison, ...] = ()


class VersionComparisons:
    """The newest version comparisons.

    Args:
        alpha: Probability that a comparison ever errs on one metric.
        state: The state to resume from.
    """

    def __init__(self, alpha: float, state: VersionComparisonsState | None = None) -> None:
        self._alpha = alpha
        self._comparisons = list(state.comparisons) if state else []

    @property
    def known(self) -> Sequence[VersionComparison]:
        """The comparisons, newest last."""
        return tuple(self._comparisons)

    def notice(self, segment: Segment, window: MergedWindow, display: Display) -> None:
        """Begin a comparison if a version answers for the first time.

        Args:
            segment: Segment of a sketch in the window.
            window: The window, not yet added to the display.
            display: Sums of the earlier windows of all versions.
        """
        if not segment.version or display.total("vitals", segment) is not None:
            return
        if any(comparison.new == segment for comparison in self._comparisons):
            return  # the workers' windows close one kind at a time
        old = _version_before(segment, display)
        if old is None:
            return
        totals = [t for kind in READS if (t := display.total(kind, old)) is not None]
        self._comparisons.append(begin_comparison(old, segment, window.start_ms, totals))
        del self._comparisons[:-_MOST_COMPARISONS]

    def advance(self, sketch: Sketch, end_ms: int) -> None:
        """Count one segment's closed window."""
        self._comparisons = [
            advance_comparison(comparison, sketch, alpha=self._alpha, end_ms=end_ms)
            if sketch.segment in (comparison.old, comparison.new)
            else comparison
            for comparison in self._comparisons
        ]

    def verdicts(self, kind: SketchKind, segment: Segment, time_ms: int) -> tuple[Verdict, ...]:
        """Return the verdicts of the comparisons to which a new version's window was added."""
        return tuple(
            verdict
            for comparison in self._comparisons
            if comparison.new == segment
            for verdict in comparison_verdicts(comparison, kind=kind, time_ms=time_ms)
        )

    def acknowledge(self, key: MonitorKey) -> None:
        """Mark an outcome as acknowledged: it raises no alarm again."""
        self._comparisons = [
            msgspec.structs.replace(
                comparison,
                metrics=tuple(
                    msgspec.structs.replace(metric, acknowledged=True)
                    if metric.monitor == key.monitor
                    else metric
                    for metric in comparison.metrics
                ),
            )
            if comparison.new == key.segment
            else comparison
            for comparison in self._comparisons
        ]

    def views(self) -> tuple[VersionComparisonView, ...]:
        """Return all comparisons to show, newest last."""
        return tuple(comparison_view(comparison) for comparison in self._comparisons)

    def state(self) -> VersionComparisonsState:
        """Return the state as plain data."""
        return VersionComparisonsState(comparisons=tuple(self._comparisons))


def _version_before(segment: Segment, display: Display) -> Segment | None:
    """Return the version of the same model and route that has answered last."""
    found = [
        (total.window_start_ms + total.window_ms, other)
        for other in display.segments()
        if other.version != segment.version
        and msgspec.structs.replace(other, version=segment.version) == segment
        and (total := display.total("vitals", other)) is not None
        and total.events >= _FEWEST_RESPONSES
    ]
    return max(found)[1] if found else None
