"""The newest comparisons of versions, the versions' hours, and what warnings cost the budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from tidegauge.monitoring.catalog import MonitorKey
from tidegauge.monitoring.comparison_verdicts import (
    cold_start_verdict,
    comparison_verdicts,
    comparison_view,
)
from tidegauge.monitoring.display import Display
from tidegauge.monitoring.intake import MergedWindow
from tidegauge.monitoring.ledger import READS
from tidegauge.monitoring.plan import SHARES, MonitorPlan
from tidegauge.monitoring.version_comparison import (
    VersionComparison,
    advance_comparison,
    begin_comparison,
)
from tidegauge.monitoring.version_history import VersionHistory, choose_metrics, observe_version
from tidegauge.monitoring.view import VersionComparisonView
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Verdict
from tidegauge.schemas.sketches import Sketch, SketchKind
from tidegauge.streaming import histogram

__all__ = ["VersionComparisons", "VersionComparisonsState"]

_MOST_COMPARISONS = 8
_MOST_HISTORIES = 32
_FEWEST_RESPONSES = 30
_MOST_COLD = 1_000
_DAY_MS = 86_400_000


class VersionComparisonsState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of ``VersionComparisons`` as plain data."""

    comparisons: tuple[VersionComparison, ...] = ()
    histories: tuple[VersionHistory, ...] = ()
    allowance: float = SHARES["swap"]
    allowance_ms: int = 0


class VersionComparisons:
    """The newest version comparisons.

    Each comparison is allowed to err with half of what is left of the allowance. That begins with
    the swaps' share of one period of the false-alarm budget and grows by as much in each period, so
    that the expected number of false warnings stays within it however often versions are swapped.

    Args:
        plan: The monitor's settings.
        state: The state to resume from.
    """

    def __init__(self, plan: MonitorPlan, state: VersionComparisonsState | None = None) -> None:
        kept = state or VersionComparisonsState()
        self._plan = plan
        self._comparisons = list(kept.comparisons)
        self._histories = {history.segment: history for history in kept.histories}
        self._allowance = kept.allowance
        self._allowance_ms = kept.allowance_ms

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
        known = {one.monitor: one for total in totals for one in choose_metrics(total)}
        history = self._histories.get(old)
        for metric in history.metrics if history else ():
            if metric.monitor in known:
                known[metric.monitor] = metric
        metrics = [metric for _, metric in sorted(known.items())]
        alpha = self._spend(window.start_ms)
        self._comparisons.append(
            begin_comparison(old, segment, window.start_ms, metrics, totals, alpha=alpha)
        )
        del self._comparisons[:-_MOST_COMPARISONS]

    def _spend(self, time_ms: int) -> float:
        """Return the chance to err that a comparison gets, and take it from the allowance."""
        share, period = SHARES["swap"], self._plan.false_alarm_days * _DAY_MS
        if self._allowance_ms:
            grown = share * max(0, time_ms - self._allowance_ms) / period
            self._allowance = min(share, self._allowance + grown)
        self._allowance_ms = time_ms
        spent = min(self._plan.comparison_alpha, self._allowance / 2)
        self._allowance -= spent
        return spent

    def is_cold(self, segment: Segment, start_ms: int) -> bool:
        """Return whether a window belongs to the cold start of a new version."""
        return any(one.new == segment and one.is_cold(start_ms) for one in self._comparisons)

    def advance(self, sketches: Sequence[Sketch], display: Display, end_ms: int) -> None:
        """Count one closed window of all segments, which has been added to the display."""
        if not sketches:
            return
        kind = sketches[0].kind
        by_segment = {sketch.segment: sketch for sketch in sketches if sketch.segment.version}
        for segment, sketch in by_segment.items():
            total = display.total(kind, segment)
            if total is not None and not self.is_cold(segment, sketch.window_start_ms):
                before = self._histories.pop(segment, VersionHistory(segment=segment))
                self._histories[segment] = observe_version(before, total, sketch)
        for segment in list(self._histories)[:-_MOST_HISTORIES]:
            del self._histories[segment]
        self._comparisons = [
            advance_comparison(
                _with_cold_start(comparison, by_segment.get(comparison.new)),
                by_segment.get(comparison.old),
                by_segment.get(comparison.new),
                display.total(kind, comparison.new),
                end_ms=end_ms,
            )
            for comparison in self._comparisons
        ]

    def verdicts(self, kind: SketchKind, segment: Segment, time_ms: int) -> Iterator[Verdict]:
        """Yield the verdicts of the comparisons to which a new version's window was added."""
        for index, comparison in enumerate(self._comparisons):
            if comparison.new != segment:
                continue
            yield from comparison_verdicts(comparison, kind=kind, time_ms=time_ms)
            over = kind == "vitals" and not comparison.is_cold(time_ms)
            if over and not comparison.cold_reported:
                yield cold_start_verdict(comparison, time_ms)
                reported = msgspec.structs.replace(comparison, cold_reported=True)
                self._comparisons[index] = reported

    def close(self, key: MonitorKey) -> None:
        """Mark an outcome as closed by a person: it raises no alarm again."""
        self._comparisons = [
            msgspec.structs.replace(
                comparison,
                metrics=tuple(
                    msgspec.structs.replace(one, closed=True)
                    if one.metric.monitor == key.monitor
                    else one
                    for one in comparison.metrics
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
        return VersionComparisonsState(
            comparisons=tuple(self._comparisons),
            histories=tuple(self._histories.values()),
            allowance=self._allowance,
            allowance_ms=self._allowance_ms,
        )


def _with_cold_start(comparison: VersionComparison, sketch: Sketch | None) -> VersionComparison:
    """Keep the durations of a window of the cold start, within the histogram's accuracy."""
    if sketch is None or sketch.kind != "vitals" or not comparison.is_cold(sketch.window_start_ms):
        return comparison
    values = sketch.histograms.get(measures.LATENCY_MS, histogram.empty())
    found = [
        histogram.upper_edge(bucket, values.accuracy)
        for bucket, n in histogram.buckets(values)
        for _ in range(n)
    ]
    cold = (*comparison.cold, *found)[:_MOST_COLD]
    return msgspec.structs.replace(comparison, cold=cold)


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
