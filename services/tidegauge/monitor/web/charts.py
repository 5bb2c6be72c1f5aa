"""Charts of a segment's numbers, and of the rates by which alarms are known. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tidegauge.monitoring.trends import TOPIC_SLOT_MS, TrendPoint
from tidegauge.monitoring.view import MonitorView, SegmentView
from tidegauge.reports.chart import Chart, Mark, chart
from tidegauge.reports.formatting import dollars, milliseconds, number, percent
from tidegauge.reports.standing import ALARMS
from tidegauge.reports.text import clip
from tidegauge.reports.titles import monitor_title, score_title
from tidegauge.schemas.findings import Alert, Verdict
from tidegauge.schemas.segments import Segment

__all__ = ["RANGES", "alarm_chart", "segment_charts", "topic_charts"]

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_TOPICS: Final = 6

RANGES: Final[Mapping[str, tuple[str, int, int]]] = MappingProxyType(
    {
        "15m": ("15 minutes", 15 * _MINUTE_MS, -1),
        "1h": ("hour", _HOUR_MS, 0),
        "6h": ("6 hours", 6 * _HOUR_MS, 0),
        "1d": ("day", _DAY_MS, 1),
        "3d": ("3 days", 3 * _DAY_MS, 1),
        "7d": ("7 days", 7 * _DAY_MS, 2),
        "30d": ("30 days", 30 * _DAY_MS, 2),
    }
)
"""Range in the address -> its name, its length, and the resolution it is shown in: the place in
``SegmentView.history``, or -1 for the display range."""

Value = Callable[[TrendPoint], float | None]


def segment_charts(
    found: SegmentView, view: MonitorView, wanted: str, now_ms: int
) -> tuple[Chart, ...]:
    """Return a segment's charts over a range: requests, latency, scores, errors, cost.

    Args:
        found: The segment.
        view: The whole, for swaps and alarms to mark.
        wanted: A key of ``RANGES``.
        now_ms: The reader's moment.
    """
    _, length_ms, level = RANGES[wanted]
    points = found.history[level] if level >= 0 and found.history else found.trend
    slot_ms = max((point.duration_ms for point in points), default=0)
    end_ms = min(now_ms, max((p.time_ms + p.duration_ms for p in points), default=now_ms))
    end_ms = max(end_ms, now_ms - length_ms // 4)
    start_ms = end_ms - length_ms
    marks = _marks(found.segment, view)

    def drawn(
        title: str, value: Value, words: Callable[[float | None], str], *, from_zero: bool = True
    ) -> Chart:
        return chart(
            title,
            [(point.time_ms, value(point)) for point in points],
            start_ms=start_ms,
            end_ms=end_ms,
            words=words,
            slot_ms=slot_ms,
            marks=marks,
            from_zero=from_zero,
        )

    charts = [
        drawn("Requests a minute", lambda p: _MINUTE_MS * p.requests / p.duration_ms, number),
        drawn("Latency, P95", lambda p: p.latency_p95_ms, milliseconds),
        drawn("Failed requests", lambda p: p.errors / p.requests if p.requests else None, percent),
        drawn("Cost a request", lambda p: p.cost_usd / p.requests if p.requests else None, dollars),
    ]
    for key in sorted({key for point in points for key in point.scores})[:3]:
        charts.insert(
            2, drawn(f"Mean score: {score_title(key)}", _score(key), number, from_zero=False)
        )
    return tuple(charts)


def _score(key: str) -> Value:
    return lambda point: point.scores.get(key)


def _marks(segment: Segment, view: MonitorView) -> tuple[Mark, ...]:
    """Return swaps of the segment's model and route, and its alarms."""
    traffic = segment.of_all_versions
    swaps = [
        Mark(swap.since_ms, f"{clip(swap.new.version, 20) or 'new version'} begins", "swap")
        for swap in view.version_comparisons
        if swap.new.of_all_versions == traffic
    ]
    concerned = {segment, *segment.parents()}
    alarms = [
        Mark(change.time_ms, monitor_title(change.monitor), "alarm")
        for change in view.history
        if change.segment in concerned and change.after in ALARMS and change.before not in ALARMS
    ]
    return (*swaps, *alarms[-6:])


def alarm_chart(alarm: Alert, view: MonitorView, onset_ms: int) -> Chart | None:
    """Return the rate by which an alarm is known over time; None where it was not followed.

    Args:
        alarm: The alarm.
        view: What the monitor knows.
        onset_ms: When its incident began, Unix milliseconds.
    """
    trend = view.alarm_trends.get(alarm.alert_id)
    if trend is None or not trend.points:
        return None
    current = view.verdict(alarm.monitor, alarm.segment) or alarm.verdict
    effects = (*current.effects, *alarm.verdict.effects)
    effect = next((e for e in effects if e.indicator == trend.indicator), None)
    swaps = [mark for mark in _marks(alarm.segment, view) if mark.kind == "swap"]
    points = [(p.time_ms, p.hits / p.trials) for p in trend.points]
    end_ms = points[-1][0] + trend.slot_ms
    title = clip(effect.title if effect else trend.indicator, 100)
    return chart(
        title[:1].upper() + title[1:],
        points,
        start_ms=min(points[0][0], onset_ms - trend.slot_ms),
        end_ms=end_ms,
        words=percent,
        slot_ms=trend.slot_ms,
        normal=(effect.low, effect.high) if effect else None,
        marks=(
            *swaps,
            Mark(onset_ms, "began", "onset"),
            Mark(alarm.starts_ms, "alarm", "alarm"),
        ),
    )


def topic_charts(verdict: Verdict, view: MonitorView) -> tuple[Chart, ...]:
    """Return the shares of topics over time: those that a verdict names, then the largest.

    Args:
        verdict: What the monitor of topics says of a segment.
        view: What the monitor knows.
    """
    trend = view.topics.get(verdict.segment.key)
    if trend is None or not trend.slots:
        return ()
    effects = {effect.indicator: effect for effect in verdict.effects}
    total = sum((Counter(slot.hits) for slot in trend.slots), Counter())
    ranked = [name for name in effects if name in trend.titles]
    ranked += [name for name, _ in total.most_common() if name not in effects]
    onset = [Mark(verdict.since_ms, "began", "onset")] if verdict.since_ms else []
    charts = []
    for topic in ranked[:_TOPICS]:
        effect = effects.get(topic)
        shares = [
            (slot.time_ms, slot.hits.get(topic, 0) / slot.requests if slot.requests else None)
            for slot in trend.slots
        ]
        charts.append(
            chart(
                clip(trend.titles.get(topic, topic), 80),
                shares,
                start_ms=trend.slots[0].time_ms,
                end_ms=trend.slots[-1].time_ms + TOPIC_SLOT_MS,
                words=percent,
                slot_ms=TOPIC_SLOT_MS,
                normal=(effect.low, effect.high) if effect else None,
                marks=onset,
            )
        )
    return tuple(charts)
