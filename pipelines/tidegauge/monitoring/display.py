"""Sums of sketches to show: over the display range, and since the monitor's state began."""

from __future__ import annotations

from functools import reduce

import msgspec

from tidegauge.monitoring.ledger import READS
from tidegauge.monitoring.trends import TrendPoint, trend_point
from tidegauge.monitoring.view import SegmentView
from tidegauge.schemas import Segment
from tidegauge.schemas.sketches import Exemplar, Sampled, Sketch, SketchKind
from tidegauge.streaming.merging import least_ranked, merge_sketches, pooled_sample

__all__ = ["Display", "DisplayState"]

_SLOTS = 12


class DisplayState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a ``Display`` as plain data."""

    totals: tuple[Sketch, ...]
    slots: tuple[Sketch, ...]


class Display:
    """Sums of closed windows, by kind and segment.

    The display range is kept in twelve slots, so its memory does not grow with the number
    of windows in it.

    Args:
        window_ms: Length of a window, milliseconds.
        display_range_ms: Length of the display range, milliseconds.
        state: The state to resume from.
    """

    def __init__(
        self, window_ms: int, display_range_ms: int, state: DisplayState | None = None
    ) -> None:
        self._slot_ms = max(1, -(-display_range_ms // (_SLOTS * window_ms))) * window_ms
        self._totals: dict[tuple[SketchKind, Segment], Sketch] = {}
        self._slots: dict[tuple[SketchKind, Segment], dict[int, Sketch]] = {}
        self._last_ms: dict[Segment, int] = {}
        self._latest_ms = 0
        for sketch in state.slots if state else ():
            self._slots.setdefault((sketch.kind, sketch.segment), {})[self._start(sketch)] = sketch
            self._record_end(sketch)
        for sketch in state.totals if state else ():
            self._totals[sketch.kind, sketch.segment] = sketch
            self._record_end(sketch)

    def _record_end(self, sketch: Sketch) -> None:
        end = sketch.window_start_ms + sketch.window_ms
        self._last_ms[sketch.segment] = max(end, self._last_ms.get(sketch.segment, 0))
        self._latest_ms = max(end, self._latest_ms)

    def add(self, sketch: Sketch) -> None:
        """Add one segment's closed window; a new baseline starts new sums."""
        key = (sketch.kind, sketch.segment)
        before = self._totals.get(key)
        if before is not None and before.baseline != sketch.baseline:
            before = None
            self._slots.pop(key, None)
        # Samples explain recent alarms, so the sum since the beginning does not keep them.
        lasting = msgspec.structs.replace(sketch, sample=())
        self._totals[key] = lasting if before is None else merge_sketches(before, lasting)
        start = self._start(sketch)
        slots = self._slots.setdefault(key, {})
        slots[start] = merge_sketches(slots[start], sketch) if start in slots else sketch
        self._record_end(sketch)
        for old in [s for s in slots if s < self._latest_ms - _SLOTS * self._slot_ms]:
            del slots[old]

    @property
    def slot_ms(self) -> int:
        """Length of a slot of the display range, milliseconds."""
        return self._slot_ms

    def _start(self, sketch: Sketch) -> int:
        """Return the start of the slot that a sketch belongs to, Unix milliseconds."""
        return sketch.window_start_ms // self._slot_ms * self._slot_ms

    def total(self, kind: SketchKind, segment: Segment) -> Sketch | None:
        """Return the sum since the state began, None without events."""
        return self._totals.get((kind, segment))

    def recent(self, kind: SketchKind, segment: Segment) -> list[Sketch]:
        """Return the slots of the display range that have events, oldest first."""
        slots = self._slots.get((kind, segment), {})
        oldest = self._latest_ms - _SLOTS * self._slot_ms
        return [slots[start] for start in sorted(slots) if start >= oldest]

    def watched(self, kind: SketchKind, segment: Segment) -> list[Sketch]:
        """Return the slots of what a monitor of a segment watches: drift spans all versions."""
        if kind == "drift":
            return self.of_all_versions(kind, segment)
        return self.recent(kind, segment)

    def of_all_versions(self, kind: SketchKind, segment: Segment) -> list[Sketch]:
        """Return the slots of a segment's traffic, whichever version answers."""
        traffic = segment.of_all_versions
        segments = [one for one in self.segments() if one.of_all_versions == traffic]
        return [sketch for one in segments for sketch in self.recent(kind, one)]

    def exemplars(self, kind: SketchKind, segment: Segment, indicator: str) -> tuple[Exemplar, ...]:
        """Return requests that show an indicator, of what a monitor of a segment watches."""
        return least_ranked(
            exemplar
            for sketch in self.watched(kind, segment)
            for exemplar in sketch.exemplars.get(indicator, ())
        )

    def sample(self, kind: SketchKind, segment: Segment, since_ms: int) -> tuple[Sampled, ...]:
        """Return sampled requests of what a monitor watches, of slots that end after a moment."""
        return pooled_sample(
            sketch.sample
            for sketch in self.watched(kind, segment)
            if sketch.window_start_ms + sketch.window_ms > since_ms
        )

    def segments(self) -> list[Segment]:
        """Return all segments in order of appearance."""
        first: dict[Segment, int] = {}
        for (_, segment), sketch in self._totals.items():
            first[segment] = min(sketch.window_start_ms, first.get(segment, sketch.window_start_ms))
        return sorted(first, key=lambda segment: (first[segment], segment))

    def views(self) -> tuple[SegmentView, ...]:
        """Return the view of every segment."""
        return tuple(self._view(segment) for segment in self.segments())

    def _view(self, segment: Segment) -> SegmentView:
        total = {kind: t for kind in READS if (t := self.total(kind, segment)) is not None}
        recent = {kind: r for kind in READS if (r := self.recent(kind, segment))}
        return SegmentView(
            segment=segment,
            first_ms=min(sketch.window_start_ms for sketch in total.values()),
            last_ms=self._last_ms[segment],
            display_range={kind: reduce(merge_sketches, slots) for kind, slots in recent.items()},
            total=total,
            trend=self._trend(recent.get("vitals", []), recent.get("quality", [])),
        )

    def _trend(self, vitals: list[Sketch], quality: list[Sketch]) -> tuple[TrendPoint, ...]:
        found: dict[int, tuple[Sketch | None, Sketch | None]] = {}
        for sketch in vitals:
            found[sketch.window_start_ms // self._slot_ms] = (sketch, None)
        for sketch in quality:
            slot = sketch.window_start_ms // self._slot_ms
            found[slot] = (found.get(slot, (None, None))[0], sketch)
        return tuple(
            trend_point(slot * self._slot_ms, self._slot_ms, *found[slot]) for slot in sorted(found)
        )

    def state(self) -> DisplayState:
        """Return the state as plain data."""
        return DisplayState(
            totals=tuple(self._totals[key] for key in sorted(self._totals)),
            slots=tuple(
                slots[start] for _, slots in sorted(self._slots.items()) for start in sorted(slots)
            ),
        )
