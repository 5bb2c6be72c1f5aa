"""Trends that charts show: segments over 30 days, topics over three, and the rates of alarms.

Each is kept as a few numbers for each slot of time, so that its memory is bounded and a chart of
any range needs no reading of the log. A segment's slots grow with their age: windows are summed to
slots of five minutes, those to hours, and those to six hours. A topic has its share of the
requests hour by hour. An alarm that fires has the rate by which it is known, from before its
onset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from tidegauge.detection.indicators import Indicator, count
from tidegauge.monitoring.catalog import judged_scores
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.sketches import Sketch, SketchKind
from tidegauge.streaming import histogram
from tidegauge.streaming.merging import merge_sketches

__all__ = [
    "RESOLUTIONS",
    "TOPIC_PREFIX",
    "TOPIC_SLOT_MS",
    "AlarmTrend",
    "AlarmTrends",
    "RatePoint",
    "SegmentHistory",
    "SegmentHistoryState",
    "TopicHistory",
    "TopicSlot",
    "TopicTrend",
    "TrendPoint",
    "trend_point",
]

_MINUTE_MS: Final = 60_000

RESOLUTIONS: Final = ((5 * _MINUTE_MS, 72), (60 * _MINUTE_MS, 72), (360 * _MINUTE_MS, 120))
"""Length of a slot in milliseconds, and how many of that length are kept: 6 h, 3 and 30 days."""

_KINDS: Final[frozenset[SketchKind]] = frozenset({"vitals", "quality"})
_HISTOGRAMS: Final = (measures.LATENCY_MS, measures.TIME_TO_FIRST_TOKEN_MS)

TOPIC_PREFIX: Final = "cluster/"
"""How the names of the indicators begin that count a topic's requests."""

TOPIC_SLOT_MS: Final = 3_600_000
_TOPIC_SLOTS: Final = 72
_MOST_SEGMENTS: Final = 16
"""Segments that are followed; of more, those that were heard of last."""

_ALARM_SLOTS: Final = 240


class TrendPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One slot of a segment as numbers for a chart; None where unknown.

    Attributes:
        time_ms: Start of the slot.
        duration_ms: Its length.
        requests: Number of responses.
        errors: Number of failures of the service.
        latency_p50_ms: Median latency.
        latency_p95_ms: 95th percentile of the latency.
        first_token_p95_ms: 95th percentile of the time to first token.
        cost_usd: Cost of all responses.
        scores: ``judge@specification/score`` -> mean of the judged answers, each weighted by the
            inverse of its inclusion probability.
    """

    time_ms: int
    duration_ms: int
    requests: int
    errors: int
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    first_token_p95_ms: float | None = None
    cost_usd: float = 0.0
    scores: dict[str, float] = {}


def trend_point(
    time_ms: int, duration_ms: int, vitals: Sketch | None, quality: Sketch | None
) -> TrendPoint:
    """Return a slot as numbers for a chart.

    Args:
        time_ms: Its start, Unix milliseconds.
        duration_ms: Its length.
        vitals: Sum of its sketches of responses, None without any.
        quality: Sum of its sketches of judged answers, None without any.
    """

    def quantile(value: str, q: float) -> float | None:
        values = vitals.histograms.get(value) if vitals is not None else None
        return histogram.quantile(values, q) if values is not None else None

    cost = vitals.moments.get(measures.COST_USD) if vitals is not None else None
    return TrendPoint(
        time_ms=time_ms,
        duration_ms=duration_ms,
        requests=vitals.events if vitals is not None else 0,
        errors=vitals.hits.get(measures.ERROR, 0) if vitals is not None else 0,
        latency_p50_ms=quantile(measures.LATENCY_MS, 0.5),
        latency_p95_ms=quantile(measures.LATENCY_MS, 0.95),
        first_token_p95_ms=quantile(measures.TIME_TO_FIRST_TOKEN_MS, 0.95),
        cost_usd=cost.total if cost is not None else 0.0,
        scores=_scores(quality) if quality is not None else {},
    )


def _scores(quality: Sketch) -> dict[str, float]:
    """Return each score's Hajek mean: the weighted sum over the sum of the weights."""
    found = {}
    for label, name in judged_scores(quality):
        weighted = quality.moments.get(measures.weighted(label, name))
        weights = quality.moments.get(measures.weight(label))
        if weighted is not None and weights is not None and weights.total > 0:
            found[f"{label}/{name}"] = weighted.total / weights.total
    return found


class OpenSlot(msgspec.Struct, frozen=True, kw_only=True):
    """A slot that is not over: its resolution's place and the sum so far."""

    level: int
    sketch: Sketch


class SegmentHistoryState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a ``SegmentHistory`` as plain data.

    Attributes:
        slots: Segment's key -> for each resolution its slots, oldest first.
        open: The slots that are not over.
    """

    slots: dict[str, tuple[tuple[TrendPoint, ...], ...]] = {}
    open: tuple[OpenSlot, ...] = ()


class SegmentHistory:
    """The numbers of each segment over the last 30 days.

    Args:
        state: The state to resume from.
    """

    def __init__(self, state: SegmentHistoryState | None = None) -> None:
        kept = state or SegmentHistoryState()
        self._slots: dict[str, list[dict[int, TrendPoint]]] = {
            key: [{point.time_ms: point for point in points} for points in levels]
            for key, levels in kept.slots.items()
        }
        self._open: dict[tuple[int, SketchKind, str], Sketch] = {
            (item.level, item.sketch.kind, item.sketch.segment.key): item.sketch
            for item in kept.open
        }

    def add(self, sketch: Sketch) -> None:
        """Add one segment's closed window; a kind's windows must come in order of time."""
        if sketch.kind in _KINDS:
            self._add(0, _lean(sketch))

    def _add(self, level: int, sketch: Sketch) -> None:
        length_ms, _ = RESOLUTIONS[level]
        key = (level, sketch.kind, sketch.segment.key)
        before = self._open.get(key)
        if before is not None and _start(before, length_ms) != _start(sketch, length_ms):
            self._close(level, before)
            before = None
        self._open[key] = sketch if before is None else merge_sketches(before, sketch)

    def _close(self, level: int, sketch: Sketch) -> None:
        """Keep a slot that is over as numbers, and add it to the next longer one."""
        levels = self._slots.setdefault(sketch.segment.key, [{} for _ in RESOLUTIONS])
        length_ms, most = RESOLUTIONS[level]
        found = _point(sketch, length_ms)
        known = levels[level].get(found.time_ms)
        levels[level][found.time_ms] = found if known is None else _joined(known, found)
        for old in sorted(levels[level])[:-most]:
            del levels[level][old]
        if level + 1 < len(RESOLUTIONS):
            self._add(level + 1, sketch)

    def points(self, segment: Segment) -> tuple[tuple[TrendPoint, ...], ...]:
        """Return a segment's slots by resolution, oldest first, those that are not over too."""
        found = []
        levels = self._slots.get(segment.key, [{} for _ in RESOLUTIONS])
        for level, (length_ms, _) in enumerate(RESOLUTIONS):
            slots = dict(levels[level])
            for kind in sorted(_KINDS):
                sketch = self._open.get((level, kind, segment.key))
                if sketch is not None:
                    point = _point(sketch, length_ms)
                    known = slots.get(point.time_ms)
                    slots[point.time_ms] = point if known is None else _joined(known, point)
            found.append(tuple(slots[start] for start in sorted(slots)))
        return tuple(found)

    def state(self) -> SegmentHistoryState:
        """Return the state as plain data."""
        return SegmentHistoryState(
            slots={key: _sorted(levels) for key, levels in sorted(self._slots.items())},
            open=tuple(
                OpenSlot(level=key[0], sketch=sketch) for key, sketch in sorted(self._open.items())
            ),
        )


def _sorted(levels: Iterable[Mapping[int, TrendPoint]]) -> tuple[tuple[TrendPoint, ...], ...]:
    return tuple(tuple(slots[start] for start in sorted(slots)) for slots in levels)


def _start(sketch: Sketch, length_ms: int) -> int:
    return sketch.window_start_ms // length_ms * length_ms


def _point(sketch: Sketch, length_ms: int) -> TrendPoint:
    vitals, quality = (sketch if sketch.kind == kind else None for kind in ("vitals", "quality"))
    return trend_point(_start(sketch, length_ms), length_ms, vitals, quality)


def _joined(one: TrendPoint, other: TrendPoint) -> TrendPoint:
    """Join what two kinds of workers tell of a slot."""
    vitals = one if one.requests else other
    return msgspec.structs.replace(vitals, scores={**one.scores, **other.scores})


def _lean(sketch: Sketch) -> Sketch:
    """Return a sketch with what a chart needs of it."""
    return msgspec.structs.replace(
        sketch,
        hits={n: v for n, v in sketch.hits.items() if n == measures.ERROR},
        trials={n: v for n, v in sketch.trials.items() if n == measures.ERROR},
        histograms={
            n: v
            for n, v in sketch.histograms.items()
            if n in _HISTOGRAMS or sketch.kind == "quality"
        },
        moments={
            n: v
            for n, v in sketch.moments.items()
            if n == measures.COST_USD or sketch.kind == "quality"
        },
        totals={},
        strata={},
        sample=(),
        exemplars={},
    )


class TopicSlot(msgspec.Struct, frozen=True, array_like=True):
    """The counts of one hour.

    Attributes:
        time_ms: Its start, Unix milliseconds.
        requests: Requests that were placed.
        hits: Indicator -> requests of its topic; topics without any are left out.
    """

    time_ms: int
    requests: int
    hits: dict[str, int]


class TopicTrend(msgspec.Struct, frozen=True, kw_only=True):
    """A segment's topics over time.

    Attributes:
        baseline: The baseline whose topics these are.
        titles: Indicator -> the topic's title.
        slots: The hours with requests, oldest first; the last goes on.
    """

    baseline: str
    titles: dict[str, str]
    slots: tuple[TopicSlot, ...] = ()


class TopicHistory:
    """The topics of each segment over the last three days.

    Args:
        state: The state to resume from: segment's key -> its topics.
    """

    def __init__(self, state: Mapping[str, TopicTrend] | None = None) -> None:
        self._trends: dict[str, TopicTrend] = dict(state or {})

    def add(self, sketch: Sketch, topics: Callable[[], Sequence[Indicator]]) -> None:
        """Add a closed window of the requests of a segment.

        Args:
            sketch: The window's counts; another baseline's than before begins anew.
            topics: Returns the indicators of the segment's topics, none without a baseline.
        """
        indicators = [one for one in topics() if one.name.startswith(TOPIC_PREFIX)]
        if not indicators or not sketch.baseline:
            return
        key = sketch.segment.key
        known = self._trends.pop(key, None)
        if known is None or known.baseline != sketch.baseline:
            titles = {one.name: one.title for one in indicators}
            known = TopicTrend(baseline=sketch.baseline, titles=titles)
        counted = {one.name: count(one, sketch) for one in indicators}
        start = sketch.window_start_ms // TOPIC_SLOT_MS * TOPIC_SLOT_MS
        slots = {slot.time_ms: slot for slot in known.slots}
        before = slots.get(start) or TopicSlot(start, 0, {})
        hits = dict(before.hits)
        for name, (held, _) in counted.items():
            if held:
                hits[name] = hits.get(name, 0) + held
        asked = max(trials for _, trials in counted.values())
        slots[start] = TopicSlot(start, before.requests + asked, hits)
        kept = tuple(slots[time_ms] for time_ms in sorted(slots)[-_TOPIC_SLOTS:])
        self._trends[key] = msgspec.structs.replace(known, slots=kept)
        while len(self._trends) > _MOST_SEGMENTS:
            del self._trends[next(iter(self._trends))]

    def state(self) -> dict[str, TopicTrend]:
        """Return the state as plain data."""
        return dict(self._trends)


class RatePoint(msgspec.Struct, frozen=True, array_like=True):
    """The counts of one slot.

    Attributes:
        time_ms: Start of the slot, Unix milliseconds.
        hits: Events for which the indicator held.
        trials: Events looked at.
    """

    time_ms: int
    hits: int
    trials: int


class AlarmTrend(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm's leading rate over time.

    Attributes:
        indicator: Its name.
        slot_ms: Length of a slot; it doubles when there are too many.
        points: The slots with events, oldest first.
    """

    indicator: str
    slot_ms: int
    points: tuple[RatePoint, ...]


class AlarmTrends:
    """The leading rates of the alarms that fire, by the alarm's identity.

    Args:
        state: The state to resume from.
    """

    def __init__(self, state: Mapping[str, AlarmTrend] | None = None) -> None:
        self._trends: dict[str, AlarmTrend] = dict(state or {})

    def get(self, alert_id: str) -> AlarmTrend | None:
        """Return an alarm's trend, None before its first update."""
        return self._trends.get(alert_id)

    def update(
        self, alert_id: str, indicator: str, slot_ms: int, counted: Iterable[RatePoint]
    ) -> None:
        """Replace the newest slots of an alarm's trend.

        Args:
            alert_id: Identity of the alarm.
            indicator: Its leading indicator, of which an alarm keeps the first.
            slot_ms: Length of the slots that are counted.
            counted: Slots, oldest first; of several with the same start the sum counts.
        """
        known = self._trends.get(alert_id)
        found = _summed(counted)
        if known is None:
            self._trends[alert_id] = AlarmTrend(
                indicator=indicator, slot_ms=slot_ms, points=tuple(found.values())
            )
            return
        kept = {point.time_ms: point for point in known.points}
        # Slots that were made longer are not replaced by the shorter ones that they contain.
        longer = known.slot_ms > slot_ms and known.points
        edge_ms = known.points[-1].time_ms + known.slot_ms if longer else 0
        kept |= {start: p for start, p in found.items() if start in kept or start >= edge_ms}
        points, length = [kept[start] for start in sorted(kept)], known.slot_ms
        while len(points) > _ALARM_SLOTS:
            length *= 2
            points = list(
                _summed(
                    RatePoint(p.time_ms // length * length, p.hits, p.trials) for p in points
                ).values()
            )
        self._trends[alert_id] = AlarmTrend(
            indicator=known.indicator, slot_ms=length, points=tuple(points)
        )

    def keep_only(self, alert_ids: Iterable[str]) -> None:
        """Forget the trends of alarms that have ended."""
        firing = set(alert_ids)
        self._trends = {key: trend for key, trend in self._trends.items() if key in firing}

    def state(self) -> dict[str, AlarmTrend]:
        """Return the state as plain data."""
        return dict(sorted(self._trends.items()))


def _summed(points: Iterable[RatePoint]) -> dict[int, RatePoint]:
    found: dict[int, RatePoint] = {}
    for point in points:
        known = found.get(point.time_ms)
        found[point.time_ms] = (
            point
            if known is None
            else RatePoint(point.time_ms, known.hits + point.hits, known.trials + point.trials)
        )
    return dict(sorted(found.items()))
