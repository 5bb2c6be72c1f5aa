"""The worker's processor: any ``Meter`` becomes sketches per segment and block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from tidegauge.schemas import Event
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.topics import SKETCHES
from tidegauge.stream.errors import MeasureError, MeterError
from tidegauge.stream.intake import Arrival, Copy, sift
from tidegauge.stream.meter import Measured, Meter, Origin
from tidegauge.stream.partitions import PartitionSketcher, SketchSettings
from tidegauge.stream.processor import Outcome, Output, Partition, Record, Rejection

__all__ = ["SketchingProcessor"]

DEFAULTS = SketchSettings()

E = TypeVar("E", RequestEvent, ResponseEvent)


class SketchingProcessor(Generic[E]):
    """Counts events once each, in event-time blocks, and says how far it has come.

    Whether a block is closed depends on the records alone, and on silence where the loop
    reports it by ``caught_up``; the order of records within a partition decides which events
    are late, the cut into batches decides nothing.

    A call of ``process`` that raises, since the meter did, has changed nothing: the same
    records may be given again.

    Args:
        meter: Measures events.
        group: The consumer group.
        settings: How events become sketches.
    """

    def __init__(self, meter: Meter[E], group: str, settings: SketchSettings = DEFAULTS) -> None:
        self._meter: Meter[E] = meter
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
            kind=self._meter.kind,
            settings=self._settings,
            snapshot=snapshot,
        )

    def revoke(self, partition: Partition) -> None:
        """Forget a partition."""
        del self._partitions[partition]

    def process(self, records: Sequence[Record], now_ms: int) -> Outcome:
        """Count records and publish the blocks that they close.

        Raises:
            MeasureError: The meter raised; nothing has changed.
            MeterError: The meter did not return one result for each event.
        """
        fresh = [
            record
            for record in records
            if record.offset >= self._partitions[record.partition].next_offset
        ]
        found = list(sift(fresh, self._meter.reads, self._last_sequence))
        arrivals = [item for item in found if isinstance(item, Arrival)]
        measured = iter(self._measure(arrivals))
        outputs: list[Output] = []
        rejections: list[Rejection] = []
        for item in found:
            sketcher = self._partitions[item.record.partition]
            if isinstance(item, Arrival):
                result = next(measured)
                event = item.event
                sketcher.account(event.producer_id).process(event.sequence, event.time_ms)
                sketcher.count(item.record, event.time_ms, event.segment, result)
                outputs.extend(result.outputs)
            elif isinstance(item, Copy):
                sketcher.account(item.producer_id).repeat()
            else:
                sketcher.account(item.producer_id).put_aside(
                    item.sequence, sketcher.watermark.latest_ms or 0
                )
                rejections.append(Rejection(item.record, item.reason, item.detail))
            sketcher.advance(item.record.offset)
        for partition in dict.fromkeys(record.partition for record in fresh):
            outputs.extend(self._closed(self._partitions[partition], now_ms))
        return Outcome(tuple(outputs), tuple(rejections))

    def reject(self, record: Record, reason: str, detail: str) -> Outcome:
        """Put a record aside that cannot be measured, unless it is a copy."""
        rejections: list[Rejection] = []
        sketcher = self._partitions[record.partition]
        for item in sift([record], self._meter.reads, self._last_sequence):
            if isinstance(item, Copy):
                sketcher.account(item.producer_id).repeat()
                continue
            signed = item.event if isinstance(item, Arrival) else item
            sketcher.account(signed.producer_id).put_aside(
                signed.sequence, sketcher.watermark.latest_ms or 0
            )
            rejections.append(Rejection(record, reason, detail))
        sketcher.advance(record.offset)
        return Outcome(rejections=tuple(rejections))

    def _last_sequence(self, partition: Partition, producer_id: str) -> int:
        return self._partitions[partition].last_sequence(producer_id)

    def _measure(self, arrivals: Sequence[Arrival[E]]) -> Sequence[Measured]:
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
            measured: Sequence[Measured] = self._meter.measure(events)
        except Exception as error:
            raise MeasureError(self._meter.kind, len(events), error) from error
        if len(measured) != len(events):
            raise MeterError(
                f"the {self._meter.kind} meter returned {len(measured)} results for "
                f"{len(events)} events: it must return one for each, in their order"
            )
        return measured

    def caught_up(self, partition: Partition, now_ms: int) -> None:
        """Note that at this time the partition holds no record that was not processed."""
        self._partitions[partition].watermark.silent(now_ms)

    def tick(self, now_ms: int) -> Outcome:
        """Publish blocks that silence has closed, and progress where it is due."""
        outputs: list[Output] = []
        for sketcher in self._partitions.values():
            published = self._closed(sketcher, now_ms)
            if not published and sketcher.progress_due(now_ms):
                published = [self._progress(sketcher, now_ms)]
            outputs.extend(published)
        return Outcome(tuple(outputs))

    def _closed(self, sketcher: PartitionSketcher, now_ms: int) -> list[Output]:
        outputs = [
            _output(
                sketcher.producer_id,
                sketch,
                sketch.segment.key,
                sketch.sequence,
                sketch.block_start_ms,
            )
            for sketch in sketcher.closed()
        ]
        if outputs:
            outputs.append(self._progress(sketcher, now_ms))
        return outputs

    def _progress(self, sketcher: PartitionSketcher, now_ms: int) -> Output:
        progress = sketcher.progress(now_ms, self._meter.notices())
        return _output(
            sketcher.producer_id, progress, sketcher.producer_id, progress.sequence, now_ms
        )

    def snapshot(self, partition: Partition) -> bytes:
        """Return a partition's whole state."""
        return self._partitions[partition].snapshot()


def _output(producer_id: str, event: Event, key: str, sequence: int, time_ms: int) -> Output:
    return Output(
        topic=SKETCHES,
        key=key,
        event=event,
        source=producer_id,
        event_id=f"{producer_id}/{sequence}",
        time_ms=time_ms,
    )
