"""The workers' processor: an ``Extractor``'s measurements as sketches by segment and window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from tidegauge.schemas import Event
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.topics import SKETCHES, UPSTREAMS, Topic
from tidegauge.streaming.deduplication import Duplicate, NewEvent, Unreadable, deduplicate
from tidegauge.streaming.errors import ExtractionError, ExtractorError
from tidegauge.streaming.extractor import (
    Extractor,
    MeasuredSession,
    Measurement,
    Origin,
    SessionExtractor,
)
from tidegauge.streaming.partitions import PartitionSketcher, SketchSettings
from tidegauge.streaming.processor import (
    Jump,
    Output,
    Partition,
    ProcessingResult,
    Record,
    Rejection,
)

__all__ = ["SketchingProcessor"]

DEFAULTS = SketchSettings()

E = TypeVar("E", RequestEvent, ResponseEvent)

_MOST_SESSIONS: Final = 16
"""Sessions that are measured at a time, which may block as long as a batch of events."""


class SketchingProcessor(Generic[E]):
    """Counts each event once, in event-time windows, and reports progress.

    Windows are closed by records, or by the idle time of a partition that the loop reports
    with ``caught_up``. The order of records within a partition decides which events are late;
    the division into batches has no effect.

    If ``process`` raises because the extractor raised, the state is unchanged and the same
    records may be passed again.

    Args:
        extractor: Measures events.
        group: The consumer group.
        settings: Settings of windows and sketches.
        sessions: Measures sessions of responses, besides; None for none. They are measured in
            ticks, when event time has passed their end.
    """

    def __init__(
        self,
        extractor: Extractor[E],
        group: str,
        settings: SketchSettings = DEFAULTS,
        *,
        sessions: SessionExtractor[Any] | None = None,
    ) -> None:
        self._extractor: Extractor[E] = extractor
        self._sessions = sessions
        self._group = group
        self._settings = settings
        self._partitions: dict[Partition, PartitionSketcher] = {}

    def assign(self, partition: Partition, snapshot: bytes | None) -> None:
        """Take over a partition.

        Raises:
            SnapshotError: The snapshot is of another version, owner or settings.
        """
        self._partitions[partition] = PartitionSketcher(
            partition,
            group=self._group,
            kind=self._extractor.kind,
            settings=self._settings,
            snapshot=snapshot,
            open_sessions=self._sessions.open if self._sessions is not None else None,
        )

    def revoke(self, partition: Partition) -> None:
        """Drop a partition."""
        del self._partitions[partition]

    def jumped(self, partition: Partition, jump: Jump) -> None:
        """Go on at another offset of a partition, and count what was missed."""
        self._partitions[partition].jump(jump)

    def process(self, records: Sequence[Record], now_ms: int) -> ProcessingResult:
        """Count records and publish the windows that they close.

        Raises:
            ExtractionError: The extractor raised; the state is unchanged.
            ExtractorError: The extractor did not return one result for each event.
        """
        fresh = [
            record
            for record in records
            if record.offset >= self._partitions[record.partition].next_offset
        ]
        found = list(self._deduplicated(fresh, now_ms))
        arrivals = [item for item in found if isinstance(item, NewEvent)]
        measured = iter(self._measure(arrivals))
        outputs: list[Output] = []
        rejections: list[Rejection] = []
        for item in found:
            sketcher = self._partitions[item.record.partition]
            if isinstance(item, NewEvent):
                result = next(measured)
                sketcher.count(item, result, now_ms)
                outputs.extend(result.outputs)
            elif isinstance(item, Duplicate):
                sketcher.count_copy(item)
            else:
                sketcher.tallies.of(item.producer_id).count_dead_letter(item.sequence)
                rejections.append(Rejection(item.record, item.reason, item.detail))
        for last in {record.partition: record for record in fresh}.values():
            sketcher = self._partitions[last.partition]
            sketcher.advance(last.offset)
            outputs.extend(self._closed(sketcher, now_ms))
        return ProcessingResult(tuple(outputs), tuple(rejections))

    def reject(self, record: Record, reason: str, detail: str, now_ms: int) -> ProcessingResult:
        """Reject a record that cannot be measured, unless it is a duplicate."""
        rejections: list[Rejection] = []
        sketcher = self._partitions[record.partition]
        for item in self._deduplicated([record], now_ms):
            if isinstance(item, Duplicate):
                sketcher.count_copy(item)
                continue
            signed = item.event if isinstance(item, NewEvent) else item
            sketcher.tallies.of(signed.producer_id).count_dead_letter(signed.sequence)
            rejections.append(Rejection(record, reason, detail))
        sketcher.advance(record.offset)
        return ProcessingResult(rejections=tuple(rejections))

    def _deduplicated(
        self, records: Sequence[Record], now_ms: int
    ) -> Iterator[NewEvent[E] | Duplicate | Unreadable]:
        return deduplicate(
            records,
            self._extractor.reads,
            lambda partition, producer: self._partitions[partition].tallies.sequences(producer),
            lambda record, time_ms: self._partitions[record.partition].bounded_time(
                record, time_ms, now_ms
            ),
        )

    def _measure(self, arrivals: Sequence[NewEvent[E]]) -> Sequence[Measurement]:
        if not arrivals:
            return ()
        events = [
            (
                Origin(
                    self._partitions[arrival.record.partition].producer_id,
                    arrival.record.partition,
                    arrival.record.offset,
                ),
                arrival.event,
            )
            for arrival in arrivals
        ]
        try:
            measured: Sequence[Measurement] = self._extractor.measure(events)
        except Exception as error:
            raise ExtractionError(self._extractor.kind, len(events), error) from error
        if len(measured) != len(events):
            raise ExtractorError(
                f"the {self._extractor.kind} extractor returned {len(measured)} results for "
                f"{len(events)} events: it must return one for each, in their order"
            )
        return measured

    def caught_up(self, partition: Partition, now_ms: int) -> None:
        """Note that at ``now_ms`` every record of the partition had been processed."""
        self._partitions[partition].watermark.silent(now_ms)

    def tick(self, now_ms: int) -> ProcessingResult:
        """Measure sessions that have ended; publish closed windows, and progress that is due."""
        outputs = self._measure_sessions()
        for sketcher in self._partitions.values():
            published = self._closed(sketcher, now_ms)
            if not published and sketcher.progress_due(now_ms):
                published = [self._progress(sketcher, now_ms)]
            outputs.extend(published)
        return ProcessingResult(tuple(outputs))

    def _measure_sessions(self) -> list[Output]:
        """Measure a few sessions that have ended; return the events that this gives."""
        if self._sessions is None:
            return []
        ended: list[tuple[PartitionSketcher, Origin, Any]] = []
        for partition, sketcher in self._partitions.items():
            most = _MOST_SESSIONS - len(ended)
            if sketcher.sessions is None or most <= 0:
                continue
            origin = Origin(sketcher.producer_id, partition, max(0, sketcher.next_offset - 1))
            over = sketcher.sessions.ended(sketcher.watermark.closed_ms, most)
            ended += [(sketcher, origin, session) for session in over]
        if not ended:
            return []
        found = self._sessions.measure([(origin, session) for _, origin, session in ended])
        outputs: list[Output] = []
        for (sketcher, _, session), each in zip(ended, found, strict=bool(found)):
            sketcher.count_session(session, each)
            if isinstance(each, MeasuredSession):
                outputs += each.measurement.outputs
        return outputs

    def _closed(self, sketcher: PartitionSketcher, now_ms: int) -> list[Output]:
        outputs = [
            _output(
                sketcher.producer_id,
                sketch,
                sketch.segment.key,
                sketch.sequence,
                sketch.window_start_ms,
            )
            for sketch in sketcher.closed()
        ]
        if outputs:
            producer = sketcher.producer_id
            outputs += [
                _output(producer, work, producer, work.sequence, work.time_ms, UPSTREAMS)
                for work in sketcher.work()
            ]
            outputs.append(self._progress(sketcher, now_ms))
        return outputs

    def _progress(self, sketcher: PartitionSketcher, now_ms: int) -> Output:
        progress = msgspec.structs.replace(
            sketcher.progress(now_ms, self._extractor.notices()),
            judges=self._extractor.conditions(),
        )
        return _output(
            sketcher.producer_id, progress, sketcher.producer_id, progress.sequence, now_ms
        )

    def snapshot(self, partition: Partition) -> bytes:
        """Return a partition's whole state."""
        return self._partitions[partition].snapshot()


def _output(  # noqa: PLR0913, PLR0917 - an event and where it goes
    producer_id: str,
    event: Event,
    key: str,
    sequence: int,
    time_ms: int,
    topic: Topic = SKETCHES,
) -> Output:
    return Output(
        topic=topic,
        key=key,
        event=event,
        source=producer_id,
        event_id=f"{producer_id}/{sequence}",
        time_ms=time_ms,
    )
