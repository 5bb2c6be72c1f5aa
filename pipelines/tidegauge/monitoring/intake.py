"""The monitor's intake: checks what it is sent, merges sketches into windows and closes them.

Counts have to be possible, and times near the monitor's own. A window closes once all partitions
have passed it, and is never rewritten: sketches that arrive for it later are counted in the next
open window of their kind, and marked late.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeAlias
from zlib import crc32

import msgspec

from tidegauge.monitoring.ledger import READS
from tidegauge.schemas import DecodeError, DecodeReason
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.sketches import Histogram, Moments, Progress, Sketch, SketchKind
from tidegauge.streaming.merging import merge_sketches
from tidegauge.streaming.tallies import Activity, Tallies

__all__ = [
    "AHEAD_MS",
    "MergedWindow",
    "Windows",
    "WindowsState",
    "bounded_heartbeat",
    "check_progress",
    "check_sketch",
]

AHEAD_MS = 600_000
"""How far a time may lie ahead of the monitor's clock."""

_LARGEST = 2**62
_MOST_NAMES = 4_096
_MOST_REASONS = 64
_NAME_CHARACTERS = 512

_MOST_WORKERS = 4_096
"""Partitions of workers whose sequences are kept."""

SegmentBaseline: TypeAlias = tuple[str, str]
"""Segment's key and baseline id: indicators of two baselines are never summed."""


def check_sketch(sketch: Sketch, now_ms: int) -> None:
    """Check a sketch's counts and times.

    Raises:
        DecodeError: A count is negative or too large, a number not finite, or the window lies
            ahead of the monitor's clock.
    """
    counts = [sketch.sequence, sketch.events, sketch.late, *sketch.hits.values()]
    counts += [*sketch.trials.values(), *_nested(sketch.totals.values())]
    for histograms in (sketch.histograms, *sketch.strata.values()):
        for histogram in histograms.values():
            counts += _histogram_counts(histogram)
    _check_counts(counts)
    if not all(map(_is_possible, sketch.moments.values())):
        raise DecodeError(DecodeReason.INVALID_FIELD, "moments are no sums of finite numbers")
    _check_time("window_start_ms", sketch.window_start_ms, now_ms)


def check_progress(progress: Progress, now_ms: int) -> None:
    """Check a progress's counts and times.

    Raises:
        DecodeError: A count is negative or too large, names are too long or too many, or a time
            lies ahead of the monitor's clock.
    """
    _check_names(progress.tallies, _MOST_NAMES)
    _check_names(progress.totals, _MOST_NAMES)
    _check_names(progress.notices, _MOST_REASONS)
    _check_names([condition.judge for condition in progress.judges], _MOST_REASONS)
    _check_names([condition.detail for condition in progress.judges], _MOST_REASONS)
    counts = [progress.sequence, progress.next_offset, *progress.totals.values()]
    for tally in progress.tallies.values():
        counts += [tally.processed, tally.dead_lettered, tally.repeated, tally.last_sequence]
    _check_counts(counts)
    _check_time("watermark_ms", progress.watermark_ms, now_ms)
    _check_time("time_ms", progress.time_ms, now_ms)


def bounded_heartbeat(heartbeat: Heartbeat, now_ms: int) -> Heartbeat:
    """Check a heartbeat's counts, and return it with a time no later than the monitor's.

    A time that lies further ahead would hide the producer's later heartbeats.

    Raises:
        DecodeError: A count is negative or too large, or names are too long or too many.
    """
    for names in (heartbeat.captured, heartbeat.shipped, heartbeat.dropped):
        _check_names(names, _MOST_REASONS)
    for reasons in heartbeat.dropped.values():
        _check_names(reasons, _MOST_REASONS)
    _check_names([heartbeat.producer_id], 1)
    counts = [heartbeat.served, *heartbeat.captured.values(), *heartbeat.shipped.values()]
    _check_counts([*counts, *_nested(heartbeat.dropped.values())])
    if heartbeat.time_ms <= now_ms + AHEAD_MS:
        return heartbeat
    return msgspec.structs.replace(heartbeat, time_ms=now_ms)


def _check_names(names: Collection[str], most: int) -> None:
    if len(names) > most or any(len(name) > _NAME_CHARACTERS for name in names):
        raise DecodeError(
            DecodeReason.INVALID_FIELD,
            f"there are {len(names)} names, at most {most} of {_NAME_CHARACTERS} characters are "
            "allowed",
        )


def _check_counts(counts: Iterable[int]) -> None:
    for count in counts:
        if not 0 <= count <= _LARGEST:
            raise DecodeError(
                DecodeReason.INVALID_FIELD, f"a count is {count}, not within 0 and {_LARGEST}"
            )


def _check_time(name: str, time_ms: int, now_ms: int) -> None:
    if not 0 <= time_ms <= now_ms + AHEAD_MS:
        raise DecodeError(
            DecodeReason.INVALID_FIELD,
            f"{name} is {time_ms}, the monitor's clock is at {now_ms}: set the clocks right",
        )


def _nested(found: Iterable[dict[str, int]]) -> Iterator[int]:
    for labels in found:
        yield from labels.values()


def _histogram_counts(histogram: Histogram) -> Iterator[int]:
    yield from (histogram.zero, *histogram.positive.values(), *histogram.negative.values())


def _is_possible(moments: Moments) -> bool:
    numbers = (moments.total, moments.squares, moments.least, moments.most)
    return moments.n >= 0 and moments.squares >= 0 and all(map(math.isfinite, numbers))


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
