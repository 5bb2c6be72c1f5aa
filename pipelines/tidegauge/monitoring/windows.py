"""Merges sketches into windows, and closes the windows that all partitions have passed.

A closed window is never rewritten: sketches that arrive for it later are counted in the next
open window of their kind, and marked late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias
from zlib import crc32

import msgspec

from tidegauge.monitoring.ledger import READS
from tidegauge.schemas.sketches import Progress, Sketch, SketchKind
from tidegauge.streaming.merging import merge_sketches
from tidegauge.streaming.tallies import Activity, Tallies

__all__ = ["MergedWindow", "Windows", "WindowsState"]

_MOST_WORKERS = 4_096
"""Partitions of workers whose sequences are kept."""

SegmentBaseline: TypeAlias = tuple[str, str]
"""Segment's key and baseline id: indicators of two baselines are never summed."""


class MergedWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A closed window of one kind, with one sketch for each segment and baseline."""

    kind: SketchKind
    start_ms: int
    end_ms: int
    sketches: tuple[Sketch, ...]


class WindowsState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of ``Windows`` as plain data."""

    seen: dict[str, Activity] = {}
    progress: tuple[Progress, ...]
    open: tuple[Sketch, ...]
    closed_ms: dict[SketchKind, int]


class Windows:
    """The open windows of all kinds.

    Args:
        window_ms: Length of a window.
        partitions: Topic -> number of partitions that must report before windows close.
        state: The state to resume from.
    """

    def __init__(
        self, window_ms: int, partitions: Mapping[str, int], state: WindowsState | None = None
    ) -> None:
        self._window_ms = window_ms
        self._partitions = partitions
        self._seen = Tallies(state.seen if state else None, most=_MOST_WORKERS)
        self._progress: dict[tuple[SketchKind, int], Progress] = {}
        self._open: dict[SketchKind, dict[int, dict[SegmentBaseline, Sketch]]] = {
            kind: {} for kind in READS
        }
        self._closed_ms: dict[SketchKind, int] = dict(state.closed_ms) if state else {}
        for report in state.progress if state else ():
            self._progress[report.kind, report.partition] = report
        for sketch in state.open if state else ():
            self._put(sketch, sketch.window_start_ms)

    @property
    def progress(self) -> tuple[Progress, ...]:
        """The newest report of each worker's partition, ordered by kind and partition."""
        return tuple(self._progress[key] for key in sorted(self._progress))

    def accept(self, sketch: Sketch) -> bool:
        """Merge a sketch into its window; return whether it was new."""
        if self._duplicate(sketch):
            return False
        start = sketch.window_start_ms // self._window_ms * self._window_ms
        closed = self._closed_ms.get(sketch.kind)
        if closed is not None and start < closed:
            sketch = msgspec.structs.replace(sketch, late=sketch.events)
            start = closed
        self._put(sketch, start)
        return True

    def report(self, progress: Progress) -> bool:
        """Store the progress of a worker's partition; return whether it was new."""
        if self._duplicate(progress):
            return False
        self._progress[progress.kind, progress.partition] = progress
        return True

    def _duplicate(self, event: Sketch | Progress) -> bool:
        if isinstance(event, Sketch):
            time_ms = event.window_start_ms + event.window_ms
            identity = f"{event.segment.key}/{event.baseline}/{time_ms}/{event.events}"
        else:
            time_ms = event.watermark_ms
            identity = f"{event.time_ms}/{event.next_offset}"
        digest = crc32(identity.encode(errors="replace"))
        sequences = self._seen.of(event.producer_id).sequences
        if sequences.has(event.sequence, digest, time_ms):
            return True
        sequences.add(event.sequence, digest, time_ms)
        return False

    def _put(self, sketch: Sketch, start: int) -> None:
        moved = msgspec.structs.replace(sketch, window_start_ms=start, window_ms=self._window_ms)
        window = self._open[sketch.kind].setdefault(start, {})
        key = (sketch.segment.key, sketch.baseline)
        window[key] = merge_sketches(window[key], moved) if key in window else moved

    def watermark_ms(self, kind: SketchKind) -> int | None:
        """Return the watermark of a kind over all its partitions; None before all have reported."""
        reached = [r.watermark_ms for (of, _), r in self._progress.items() if of == kind]
        if len(reached) < self._partitions.get(READS[kind], 1):
            return None
        return min(reached)

    def close(self) -> list[MergedWindow]:
        """Close the windows that every partition has passed; those of a kind in order of time."""
        closed: list[MergedWindow] = []
        for kind in READS:
            watermark = self.watermark_ms(kind)
            if watermark is None:
                continue
            windows = self._open[kind]
            last = watermark // self._window_ms * self._window_ms
            for start in sorted(start for start in windows if start + self._window_ms <= last):
                sketches = windows.pop(start)
                closed.append(
                    MergedWindow(
                        kind=kind,
                        start_ms=start,
                        end_ms=start + self._window_ms,
                        sketches=tuple(sketches[key] for key in sorted(sketches)),
                    )
                )
            self._closed_ms[kind] = max(last, self._closed_ms.get(kind, last))
        return closed

    def state(self) -> WindowsState:
        """Return the state as plain data."""
        return WindowsState(
            seen={name: found.activity() for name, found in self._seen.heard()},
            progress=self.progress,
            open=tuple(
                sketch
                for kind in READS
                for _, window in sorted(self._open[kind].items())
                for _, sketch in sorted(window.items())
            ),
            closed_ms=dict(self._closed_ms),
        )
