"""Comparison of a model's new version with the one before, metric by metric.

Every metric is a rate of something unwanted (``version_history``). There are two ways to compare:

- *Side by side*: in windows in which both versions answer (canary weights, shadows), the router
  decides which request goes where. The interval is that of their odds ratio and holds at all times
  at once, whatever load and topics do (``detection.odds_ratio``).
- *One after the other*: hours of the new version with hours of the old one at the same time of
  day (``detection.before_after``). It needs a day or more of the old version, and is undecided for
  as long as hours differ among themselves by as much as the versions do.

Each way has half of the comparison's chance to err. The outcome is that of the first way that has
one; it follows the interval, so that an early outcome may be taken back:

    better      the interval of new - old lies below 0
    worse       it lies above 0, and the estimate is as large as the metric's minimum effect
    not worse   it lies below the margin
    undecided   otherwise

A new version's first minute is a cold start: its durations are not counted.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import numpy as np

from tidegauge.detection.before_after import BeforeAfter, HourCounts, compare_hours
from tidegauge.detection.indicators import Hits, StratifiedTail, Tail, count_asked
from tidegauge.detection.odds_ratio import (
    add_window,
    difference_interval,
    no_windows,
    odds_interval,
)
from tidegauge.monitoring.plan import MINIMUM_EFFECT
from tidegauge.monitoring.verdict_details import quantile_ratio
from tidegauge.monitoring.version_history import HOUR_MS, ComparedMetric, add_hour
from tidegauge.monitoring.view import Outcome
from tidegauge.schemas import Segment
from tidegauge.schemas.sketches import Sketch
from tidegauge.streaming import histogram

__all__ = [
    "COLD_START_MS",
    "DURATIONS",
    "MetricComparison",
    "Side",
    "VersionComparison",
    "advance_comparison",
    "begin_comparison",
]

COLD_START_MS = 60_000
"""Length of a new version's cold start."""
DURATIONS = frozenset({"latency", "first_token"})
"""Metrics that a cold start slows."""
_RATIOS = {
    "latency": MINIMUM_EFFECT["latency"],
    "first_token": MINIMUM_EFFECT["latency"],
    "cost": MINIMUM_EFFECT["cost"],
    "work": MINIMUM_EFFECT["cost"],
}
"""Metric -> smallest ratio of durations or of costs that is ``worse``."""
_SHARES = {"errors": MINIMUM_EFFECT["errors"], "quality": MINIMUM_EFFECT["quality"]}
"""Metric -> smallest difference of shares that is ``worse``."""
_MARGINS = {"errors": 0.02, "quality": 0.1}
"""Metric -> margin by which the new rate may exceed the old one and be ``not worse``."""
_LEAST_RATE = 0.05
"""Share of durations whose quantile is compared where none lies beyond the old threshold."""


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
        metric: The metric, with the old version's hours before the swap.
        margin: Margin by which the new rate may exceed the old one and be ``not worse``.
        alpha: Chance that the interval of either way ever misses the difference, each half.
        old: Counts of the version before, in windows in which both answered.
        new: Counts of the new version in these windows.
        log_likelihood: Of each odds ratio in these windows, as little-endian numbers.
        hours: Counts of the new version by hour.
        after: The hours compared, up to the last whole one.
        low: Lower end of the interval of new minus old.
        high: Upper end.
        side_by_side: Whether the interval is that of windows in which both answered.
        outcome: The outcome so far.
        decided_ms: Since when it is this outcome; None while undecided.
        closed: Whether a person has closed its alarm.
    """

    metric: ComparedMetric
    margin: float
    alpha: float
    old: Side = Side()
    new: Side = Side()
    log_likelihood: bytes = b""
    hours: tuple[HourCounts, ...] = ()
    after: BeforeAfter = BeforeAfter()
    low: float = -1.0
    high: float = 1.0
    side_by_side: bool = False
    outcome: Outcome = "undecided"
    decided_ms: int | None = None
    closed: bool = False


class VersionComparison(msgspec.Struct, frozen=True, kw_only=True):
    """A new version compared with the one before.

    Attributes:
        old: Segment of the version before.
        new: Segment of the new version.
        since_ms: Start of the new version's first window.
        metrics: The comparison by each metric that the old version has.
        cold: Durations of the new version's cold start, in milliseconds.
        cold_reported: Whether the cold start has been reported.
    """

    old: Segment
    new: Segment
    since_ms: int
    metrics: tuple[MetricComparison, ...]
    cold: tuple[float, ...] = ()
    cold_reported: bool = False

    def is_cold(self, start_ms: int) -> bool:
        """Return whether a window of the new version belongs to its cold start."""
        return start_ms < self.since_ms + COLD_START_MS


def begin_comparison(  # noqa: PLR0913 - two versions, when, by what, and the chance to err
    old: Segment,
    new: Segment,
    since_ms: int,
    metrics: Iterable[ComparedMetric],
    totals: Iterable[Sketch],
    *,
    alpha: float,
) -> VersionComparison:
    """Begin a comparison.

    Args:
        old: Segment of the version before.
        new: Segment of the new version.
        since_ms: Start of the new version's first window.
        metrics: The old version's metrics, with thresholds chosen on it.
        totals: The old version's sketches so far, one for each kind.
        alpha: Chance that the comparison ever errs on any of its metrics.
    """
    by_kind = {total.kind: total for total in totals}
    known = [metric for metric in metrics if metric.kind in by_kind]
    swap = since_ms // HOUR_MS
    return VersionComparison(
        old=old,
        new=new,
        since_ms=since_ms,
        metrics=tuple(
            MetricComparison(
                metric=msgspec.structs.replace(
                    metric, hours=tuple(hour for hour in metric.hours if hour.hour < swap)
                ),
                margin=_margin(metric, by_kind[metric.kind]),
                alpha=alpha / len(known) / 2,
            )
            for metric in known
        ),
    )


def _margin(metric: ComparedMetric, total: Sketch) -> float:
    """Return the margin as a difference of rates.

    A ratio of durations is translated by the old version's histograms: were all its durations
    longer by the ratio, so much larger a share would lie beyond the threshold.
    """
    kind, counter = metric.monitor.kind, metric.indicator.counter
    if kind not in _RATIOS or isinstance(counter, Hits):
        return _MARGINS[kind]
    steps = round(np.log(_RATIOS[kind]) / histogram.log_gamma(histogram.ACCURACY))
    lowered: Tail | StratifiedTail
    if isinstance(counter, Tail):
        lowered = msgspec.structs.replace(counter, bucket=counter.bucket - steps)
    else:
        buckets = {stratum: bucket - steps for stratum, bucket in counter.buckets.items()}
        lowered = msgspec.structs.replace(counter, buckets=buckets)
    hits, trials = count_asked(metric.indicator, total)
    more, _ = count_asked(msgspec.structs.replace(metric.indicator, counter=lowered), total)
    return (more - hits) / max(trials, 1)


def advance_comparison(
    comparison: VersionComparison,
    old: Sketch | None,
    new: Sketch | None,
    new_total: Sketch | None,
    *,
    end_ms: int,
) -> VersionComparison:
    """Count one closed window, and decide each metric that can be decided.

    Args:
        comparison: The comparison so far.
        old: The old version's sketch of the window, None where it did not answer.
        new: The new version's sketch of the window, of the same kind.
        new_total: All sketches of the new version of this kind, added up.
        end_ms: End of the window.
    """
    if new is None:
        return comparison
    cold = comparison.is_cold(new.window_start_ms)
    metrics = tuple(
        _advance(one, old, new, new_total or new, end_ms=end_ms)
        if one.metric.kind == new.kind and not (cold and one.metric.monitor.kind in DURATIONS)
        else one
        for one in comparison.metrics
    )
    return msgspec.structs.replace(comparison, metrics=metrics)


def _advance(
    one: MetricComparison, old: Sketch | None, new: Sketch, new_total: Sketch, *, end_ms: int
) -> MetricComparison:
    counts = count_asked(one.metric.indicator, new)
    others = (0, 0) if old is None else count_asked(one.metric.indicator, old)
    one = _in_its_hour(one, new.window_start_ms, counts)
    if counts[1] and others[1]:
        before = _numbers(one.log_likelihood)
        one = msgspec.structs.replace(
            one,
            old=one.old.plus(others),
            new=one.new.plus(counts),
            log_likelihood=add_window(before, counts, others).astype("<f8").tobytes(),
        )
    return _decided(one, new_total, end_ms)


def _numbers(log_likelihood: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.frombuffer(log_likelihood, "<f8") if log_likelihood else no_windows()


def _in_its_hour(one: MetricComparison, start_ms: int, counts: tuple[int, int]) -> MetricComparison:
    """Count a window in its hour, and compare the hours before it when a new one begins."""
    hour = start_ms // HOUR_MS
    whole = one.hours and one.hours[-1].hour < hour
    after = compare_hours(one.metric.hours, one.hours[1:], alpha=one.alpha) if whole else one.after
    hours = add_hour(one.hours, start_ms, counts)
    return msgspec.structs.replace(one, hours=hours, after=after)


def _decided(one: MetricComparison, new_total: Sketch, end_ms: int) -> MetricComparison:
    """Return the comparison with the interval and the outcome of the way that has one."""
    after = one.after
    ends, found = (after.low, after.high), _outcome(one, after, new_total)
    beside = _side_by_side(one)
    first = _outcome(one, beside, new_total)
    side_by_side = bool(beside.blocks) and (first != "undecided" or not after.blocks)
    if side_by_side:
        ends, found = (beside.low, beside.high), first
    decided = one.decided_ms if found == one.outcome else end_ms
    return msgspec.structs.replace(
        one,
        low=ends[0],
        high=ends[1],
        side_by_side=side_by_side,
        outcome=found,
        decided_ms=None if found == "undecided" else decided,
    )


def _side_by_side(one: MetricComparison) -> BeforeAfter:
    """Return the comparison within the windows in which both versions answered."""
    if not one.old.trials:
        return BeforeAfter()
    odds = odds_interval(_numbers(one.log_likelihood), alpha=one.alpha)
    old = one.old.hits, one.old.trials
    low, high = difference_interval(odds, old, alpha=one.alpha)
    return BeforeAfter(
        blocks=one.new.trials, old_rate=one.old.rate, new_rate=one.new.rate, low=low, high=high
    )


def _outcome(one: MetricComparison, found: BeforeAfter, new_total: Sketch) -> Outcome:
    if found.old_rate is None or found.new_rate is None:
        return "undecided"
    if found.high < 0:
        return "better"
    if found.low <= 0:
        return "not worse" if found.high <= one.margin else "undecided"
    kind, counter = one.metric.monitor.kind, one.metric.indicator.counter
    if kind in _RATIOS and not isinstance(counter, Hits):
        rate = max(found.old_rate, _LEAST_RATE)
        large = quantile_ratio(counter, rate, new_total) >= _RATIOS[kind]
    else:
        large = found.new_rate - found.old_rate >= _SHARES[kind]
    if large:
        return "worse"
    return "not worse" if found.high <= one.margin else "undecided"
