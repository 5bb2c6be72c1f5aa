"""The pages of topics and releases as values, made from a ``MonitorView``. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tidegauge.monitor.web.charts import topic_charts
from tidegauge.monitor.web.segment_page import MonitorLine, Name, monitor_line, name
from tidegauge.monitoring.catalog import DRIFT_TOPICS
from tidegauge.monitoring.view import (
    MetricComparisonView,
    MonitorView,
    VersionComparisonView,
)
from tidegauge.reports.chart import Chart
from tidegauge.reports.drift_card import Card, card
from tidegauge.reports.formatting import moment
from tidegauge.reports.standing import ALARMS, Tone
from tidegauge.reports.text import plain
from tidegauge.reports.titles import metric_title

__all__ = ["Interval", "SwapLine", "TopicCard", "swap_lines", "topic_cards"]

_CARDS: Final = 8
_OUTCOME_TONES: Final[dict[str, Tone]] = {"worse": "critical", "better": "ok", "not worse": "ok"}


@dataclass(frozen=True, slots=True)
class TopicCard:
    """A verdict of drift in full, whether it alarms or not, and its topics over time."""

    line: MonitorLine
    name: Name
    card: Card
    charts: tuple[Chart, ...]


def topic_cards(
    view: MonitorView, *, now_ms: int, false_alarm_days: float
) -> tuple[TopicCard, ...]:
    """Return what is known of drift, alarms first, then by evidence.

    Args:
        view: What the monitor knows.
        now_ms: The reader's moment.
        false_alarm_days: The deployment's promise.
    """
    verdicts = sorted(
        (verdict for verdict in view.verdicts if verdict.signal == "drift"),
        key=lambda v: (v.state not in ALARMS, -(v.log_statistic or 0.0), v.monitor, v.segment),
    )
    return tuple(
        TopicCard(
            line=monitor_line(verdict, verdict.segment, view.silences),
            name=name(verdict.segment),
            card=card(verdict, now_ms=now_ms, false_alarm_days=false_alarm_days),
            charts=topic_charts(verdict, view) if verdict.monitor == DRIFT_TOPICS.name else (),
        )
        for verdict in verdicts[:_CARDS]
    )


@dataclass(frozen=True, slots=True)
class Interval:
    """One metric of a comparison with the places of its interval in percent of a plot's width.

    Attributes:
        metric: The comparison by the metric.
        tone: Colour of the outcome.
        start: Place of the interval's lower end.
        width: Its width.
        zero: Place of no difference.
        margin: Place of the margin.
    """

    metric: MetricComparisonView
    tone: Tone
    start: float
    width: float
    zero: float
    margin: float


@dataclass(frozen=True, slots=True)
class SwapLine:
    """A new version compared with the one before, in one plot of intervals."""

    swap: VersionComparisonView
    old: Name
    new: Name
    since: str
    sentence: str
    intervals: tuple[Interval, ...]


def swap_lines(view: MonitorView, now_ms: int) -> tuple[SwapLine, ...]:
    """Return the comparisons of versions, the newest first."""
    return tuple(_swap(swap, now_ms) for swap in reversed(view.version_comparisons))


def _swap(swap: VersionComparisonView, now_ms: int) -> SwapLine:
    old, new = name(swap.old), name(swap.new)
    by_outcome = {
        outcome: [item.metric for item in swap.metrics if item.outcome == outcome]
        for outcome in ("worse", "better", "not worse", "undecided")
    }
    parts = [
        f"{outcome} in {', '.join(metric_title(measure) for measure in found)}"
        for outcome, found in by_outcome.items()
        if found
    ]
    versions = (
        f"{plain(swap.new.version) or new.text} against {plain(swap.old.version) or old.text}"
    )
    return SwapLine(
        swap=swap,
        old=old,
        new=new,
        since=moment(swap.since_ms, now_ms),
        sentence=f"{versions}: {'; '.join(parts)}." if parts else f"{versions}: no metric yet.",
        intervals=_intervals(swap.metrics),
    )


def _intervals(metrics: Sequence[MetricComparisonView]) -> tuple[Interval, ...]:
    """Return the intervals on one scale, which those that are known decide."""
    known = [m for m in metrics if m.high - m.low < 1]
    ends = [abs(end) for m in known for end in (m.low, m.high)] + [m.margin for m in metrics]
    most = max(ends, default=0.0) * 1.1 or 1.0

    def place(value: float) -> float:
        return 50 + 50 * min(1.0, max(-1.0, value / most))

    return tuple(
        Interval(
            metric=m,
            tone=_OUTCOME_TONES.get(m.outcome, "quiet"),
            start=place(m.low),
            width=max(0.5, place(m.high) - place(m.low)),
            zero=place(0.0),
            margin=place(m.margin),
        )
        for m in metrics
    )
