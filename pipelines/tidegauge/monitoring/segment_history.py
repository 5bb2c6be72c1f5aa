"""What segments were like over the last 30 days, in slots that grow with their age.

Windows are summed to slots of five minutes, those to hours, and those to six hours; a slot that
is over is kept as a few numbers. So the memory of a segment is bounded, and a chart of any
range needs no reading of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tidegauge.monitoring.display import trend_point
from tidegauge.monitoring.view import TrendPoint
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.sketches import Sketch, SketchKind
from tidegauge.streaming.merging import merge_sketches

__all__ = ["RESOLUTIONS", "SegmentHistory", "SegmentHistoryState"]

_MINUTE_MS: Final = 60_000

RESOLUTIONS: Final = ((5 * _MINUTE_MS, 72), (60 * _MINUTE_MS, 72), (360 * _MINUTE_MS, 120))
"""Length of a slot in milliseconds, and how many of that length are kept: 6 h, 3 and 30 days."""

_KINDS: Final[frozenset[SketchKind]] = frozenset({"vitals", "quality"})
_HISTOGRAMS: Final = (measures.LATENCY_MS, measures.TIME_TO_FIRST_TOKEN_MS)


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
