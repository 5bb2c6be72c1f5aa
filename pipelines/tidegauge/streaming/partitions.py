"""A sketching worker's state of one partition, and how events change it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.segments import OTHER, Segment
from tidegauge.schemas.sketches import Exemplar, Progress, RecordPlace, Sketch, SketchKind
from tidegauge.schemas.upstream_events import UpstreamWork
from tidegauge.streaming.deduplication import Duplicate, NewEvent
from tidegauge.streaming.extractor import MeasuredSession, Measurement, Sessions
from tidegauge.streaming.histogram import ACCURACY
from tidegauge.streaming.processor import Jump, Partition, Record
from tidegauge.streaming.progress import (
    AHEAD,
    BEGUN_AGAIN,
    OVERFLOW,
    PRODUCER_TIMES,
    PRODUCERS_CAPPED,
    RECORDS_EXPIRED,
    REFUSED_VALUES,
    RENUMBERED,
    SEGMENTS_CAPPED,
    TOPIC_REMADE,
)
from tidegauge.streaming.splitting import split
from tidegauge.streaming.state import PartitionState, read_state, write_state
from tidegauge.streaming.tallies import Tallies
from tidegauge.streaming.upstream_work import WorkAccumulator
from tidegauge.streaming.watermarks import Watermark
from tidegauge.streaming.window import MOST_INDICATORS, MOST_NAMES, SketchOrigin, Window, WindowKey

__all__ = ["PartitionSketcher", "SketchSettings"]


@dataclass(frozen=True, slots=True)
class SketchSettings:
    """Settings of sketching: windows, lateness, limits and accuracy.

    Attributes:
        window_ms: Length of a window of event time.
        lateness_ms: How long after its end a window stays open for late events.
        idle_ms: Longest time for which an idle partition holds the watermark back.
        hold_ms: Longest time, by the log's clock, for which late events alone hold a window open.
        progress_ms: Interval at which progress is published when no window closes.
        segment_limit: Largest number of segments counted under their own name in one partition.
        ahead_ms: Furthest that an event's time may lie ahead of its record's timestamp.
        retire_ms: Event time after which an inactive producer or segment is dropped; longer
            than the retention of records.
        accuracy: Relative accuracy of the histograms.
    """

    window_ms: int = 10_000
    lateness_ms: int = 20_000
    idle_ms: int = 20_000
    hold_ms: int = 60_000
    progress_ms: int = 10_000
    segment_limit: int = 64
    ahead_ms: int = 60_000
    retire_ms: int = 8 * 86_400_000
    accuracy: float = ACCURACY


class PartitionSketcher:
    """One partition's open windows, watermark, tallies and totals.

    Attributes:
        producer_id: ``group/topic-partition``.
        next_offset: Offset of the first record that was not counted.
        tallies: What became of each producer's events.
        watermark: The partition's progress in event time.
        sessions: The sessions that are open; None where none are followed.
    """

    def __init__(  # noqa: PLR0913 - a partition and what it is sketched by, by name
        self,
        partition: Partition,
        *,
        group: str,
        kind: SketchKind,
        settings: SketchSettings,
        snapshot: bytes | None,
        open_sessions: Callable[[bytes], Sessions[Any]] | None = None,
    ) -> None:
        self.producer_id = f"{group}/{partition}"
        self.next_offset = 0
        self._origin = SketchOrigin(kind, self.producer_id, partition, settings.window_ms)
        self._settings = settings
        self._sequence = 0
        self.tallies = Tallies()
        self._totals: Counter[str] = Counter()
        self._looked_at: dict[str, None] = {}
        self._segments: dict[Segment, int] = {}
        self._windows: dict[WindowKey, Window] = {}
        self._work = WorkAccumulator()
        self._published_ms: int | None = None
        self._published_closed_ms = 0
        state = self._restore(snapshot) if snapshot is not None else None
        self.sessions = open_sessions(state.sessions if state else b"") if open_sessions else None
        self.watermark = Watermark(
            window_ms=settings.window_ms,
            lateness_ms=settings.lateness_ms,
            idle_ms=settings.idle_ms,
            hold_ms=settings.hold_ms,
            latest_ms=state.latest_ms if state else None,
            closed_ms=state.closed_ms if state else 0,
            late_since_ms=state.late_since_ms if state else None,
        )

    def jump(self, jump: Jump) -> None:
        """Go on at another offset, and count what was missed."""
        self.next_offset = jump.position
        if jump.expired:
            self._totals[RECORDS_EXPIRED] += jump.expired
        if jump.remade:
            self._totals[TOPIC_REMADE] += 1

    def advance(self, offset: int) -> None:
        """Move past a record that was counted."""
        self.next_offset = offset + 1
        self.watermark.heard()

    def bounded_time(self, record: Record, time_ms: int, now_ms: int) -> int:
        """Return an event's time, at most ``ahead_ms`` beyond the clock of the log.

        A producer whose clock is ahead would close windows that others still fill. The log's
        clock is the broker's, and this worker's own where records have their producers' times.
        """
        clock_ms = now_ms if record.producer_time else record.timestamp_ms
        latest_ms = clock_ms + self._settings.ahead_ms
        return latest_ms if time_ms > latest_ms and clock_ms > 0 else time_ms

    def count_copy(self, found: Duplicate) -> None:
        """Count an event that was processed before."""
        self.tallies.of(found.producer_id).count_repeated()
        if found.first:
            self._totals[BEGUN_AGAIN] += 1

    def count(
        self,
        found: NewEvent[RequestEvent] | NewEvent[ResponseEvent],
        measured: Measurement,
        now_ms: int,
    ) -> None:
        """Count one new event in its producer's tally and in its window."""
        record, event, time_ms = found.record, found.event, found.time_ms
        tally = self.tallies.of(event.producer_id)
        if tally.count_processed(event.sequence, found.digest, time_ms):
            self._totals[RENUMBERED] += 1
        if time_ms != event.time_ms:
            self._totals[AHEAD] += 1
        if record.producer_time:
            self._totals[PRODUCER_TIMES] += 1
        start_ms, late = self.watermark.place(
            time_ms, now_ms if record.producer_time else record.timestamp_ms
        )
        self._totals.update(measured.progress)
        if self.sessions is not None and isinstance(event, ResponseEvent):
            self._totals.update(self.sessions.add(event, record.offset))
        if not measured.counted:
            return
        asked = len(measured.trials) + len(measured.hits)
        if asked > MOST_INDICATORS:
            measured = replace(measured, trials=(), hits=())
            self._totals[REFUSED_VALUES] += asked
        measured = _referring(measured, record.partition, record.offset)
        segment = self._admitted(event.segment, time_ms)
        key = WindowKey(start_ms, segment, measured.baseline)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(self._settings.accuracy, record.offset)
        refused = window.add(measured, record.offset, late=late)
        if measured.work:  # by the producer's clock, whose time was not changed
            trusted = measured.work if time_ms == event.time_ms else ()
            refused += len(measured.work) - len(trusted)
            refused += self._work.add(segment.key, trusted)
        if refused:
            self._totals[REFUSED_VALUES] += refused

    def count_session(self, ended: object, found: MeasuredSession | Mapping[str, int]) -> None:
        """Count a session that has ended in the window that is the next to close, and drop it.

        Args:
            ended: The session.
            found: What it adds, or what to count of one that could not be measured.
        """
        if self.sessions is not None:
            self.sessions.remove([ended])
        if not isinstance(found, MeasuredSession):
            self._totals.update(found)
            return
        measured = _referring(found.measurement, self._origin.partition, found.offset)
        self._totals.update(measured.progress)
        start_ms, last = self.watermark.closed_ms, max(0, self.next_offset - 1)
        key = WindowKey(start_ms, self._admitted(found.segment, start_ms), measured.baseline)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = Window(self._settings.accuracy, last)
        self._totals[REFUSED_VALUES] += window.add(measured, last, late=False, events=0)

    def _admitted(self, segment: Segment, time_ms: int) -> Segment:
        known = self._segments.get(segment)
        if known is None:
            segment = segment.bounded
            known = self._segments.get(segment)
        if known is None and len(self._segments) >= self._settings.segment_limit:
            self._totals[OVERFLOW] += 1
            return OTHER
        self._segments[segment] = time_ms if known is None else max(known, time_ms)
        return segment

    def closed(self) -> Iterator[Sketch]:
        """Yield the sketches of windows that have closed, in parts where one would be too long."""
        ended = [
            key
            for key in self._windows
            if key.start_ms + self._settings.window_ms <= self.watermark.closed_ms
        ]
        if ended:
            self._look_at()
        for key in sorted(ended):
            for part in split(self._sketch(key, self._windows.pop(key), 0)):
                self._sequence += 1
                yield msgspec.structs.replace(part, sequence=self._sequence)

    def work(self) -> Iterator[UpstreamWork]:
        """Yield the work of upstreams that was counted since the last call."""
        for minutes in self._work.take():
            self._sequence += 1
            yield UpstreamWork(
                producer_id=self.producer_id,
                sequence=self._sequence,
                time_ms=self.watermark.closed_ms,
                minutes=minutes,
            )

    def _look_at(self) -> None:
        """Keep the indicators that are not evaluated for every event, those seen last."""
        for window in self._windows.values():
            for name in window.trials:
                self._looked_at.pop(name, None)
                self._looked_at[name] = None
        for name in list(self._looked_at)[:-MOST_NAMES]:
            del self._looked_at[name]

    def _sketch(self, key: WindowKey, window: Window, sequence: int) -> Sketch:
        return window.sketch(key, self._origin, sequence=sequence, looked_at=self._looked_at)

    def progress_due(self, now_ms: int) -> bool:
        """Whether a window has closed since progress was published, or ``progress_ms`` passed."""
        return (
            self._published_ms is None
            or self.watermark.closed_ms > self._published_closed_ms
            or now_ms - self._published_ms >= self._settings.progress_ms
        )

    def progress(self, now_ms: int, notices: tuple[str, ...]) -> Progress:
        """Return the partition's progress, and drop producers and segments long inactive."""
        self._retire()
        self._sequence += 1
        self._published_ms = now_ms
        self._published_closed_ms = self.watermark.closed_ms
        capped = (SEGMENTS_CAPPED,) if self._totals[OVERFLOW] else ()
        if self.tallies.forgotten:
            capped = (*capped, PRODUCERS_CAPPED)
        return Progress(
            kind=self._origin.kind,
            producer_id=self.producer_id,
            sequence=self._sequence,
            time_ms=now_ms,
            topic=self._origin.partition.topic,
            partition=self._origin.partition.index,
            next_offset=self.next_offset,
            watermark_ms=self.watermark.closed_ms,
            tallies={name: found.tally() for name, found in self.tallies.items()},
            totals={name: total for name, total in sorted(self._totals.items()) if total},
            notices=(*notices, *capped),
        )

    def _retire(self) -> None:
        until = self.watermark.closed_ms - self._settings.retire_ms
        self.tallies.retire(until, self.watermark.closed_ms)
        self._segments = {
            segment: active_ms
            for segment, active_ms in self._segments.items()
            if active_ms >= until
        }

    def snapshot(self) -> bytes:
        """Return the whole state."""
        windows = sorted(self._windows.items(), key=lambda item: item[0])
        return write_state(
            PartitionState(
                owner=self.producer_id,
                kind=self._origin.kind,
                window_ms=self._settings.window_ms,
                accuracy=self._settings.accuracy,
                next_offset=self.next_offset,
                sequence=self._sequence,
                latest_ms=self.watermark.latest_ms,
                closed_ms=self.watermark.closed_ms,
                late_since_ms=self.watermark.late_since_ms,
                accounts={name: found.activity() for name, found in self.tallies.heard()},
                totals=dict(sorted(self._totals.items())),
                looked_at=tuple(self._looked_at),
                segments=tuple(self._segments.items()),
                open_windows=tuple(self._sketch(key, window, 0) for key, window in windows),
                work=self._work.value(),
                sessions=self.sessions.state() if self.sessions is not None else b"",
            )
        )

    def _restore(self, snapshot: bytes) -> PartitionState:
        state = read_state(
            snapshot,
            owner=self.producer_id,
            kind=self._origin.kind,
            window_ms=self._settings.window_ms,
            accuracy=self._settings.accuracy,
        )
        self.next_offset = state.next_offset
        self._sequence = state.sequence
        self.tallies = Tallies(state.accounts)
        self._totals = Counter(state.totals)
        self._looked_at = dict.fromkeys(state.looked_at)
        self._segments = dict(state.segments)
        self._windows = {
            WindowKey(sketch.window_start_ms, sketch.segment, sketch.baseline): Window.resumed(
                sketch, self._settings.accuracy
            )
            for sketch in state.open_windows
        }
        self._work = WorkAccumulator(state.work)
        return state


def _referring(measured: Measurement, partition: Partition, offset: int) -> Measurement:
    """Return a measurement whose exemplars refer to their record."""
    if measured.exemplar is None and not measured.examples:
        return measured
    place = RecordPlace(partition.topic, partition.index, offset)

    def refer(exemplar: Exemplar) -> Exemplar:
        return msgspec.structs.replace(exemplar, source=place)

    return replace(
        measured,
        exemplar=None if measured.exemplar is None else refer(measured.exemplar),
        examples=tuple((name, refer(exemplar)) for name, exemplar in measured.examples),
    )
