"""Builds batches of Kafka records from a run's frames and expands compact records into events."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tidegauge.capture.counters import Drop
from tidegauge.capture.delivery import ProducerRecord
from tidegauge.capture.errors import OutboxFormatError
from tidegauge.capture.frame import ExpandFormats, Frame
from tidegauge.capture.outbox_reader import OutboxEntry
from tidegauge.capture.runs import Place
from tidegauge.schemas.codec import cloud_event_headers, encode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.topics import Event

__all__ = ["Batch", "BatchBuilder"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are sent together.

    Attributes:
        records: The records.
        lost: Topic and drop reason of each event that could not be built.
        facts: Facts about the events, counted by name.
        end: The place in the outbox after the batch.
        sequence: The last sequence before that place.
        size: Bytes of the frames in the batch.
    """

    records: list[ProducerRecord]
    lost: list[tuple[str, Drop]]
    facts: Counter[str]
    end: Place
    sequence: int
    size: int


class BatchBuilder:
    """Builds batches of a run's frames.

    Args:
        producer_id: The run's producer id.
        expand_formats: How compact records are expanded, by their type.
        max_event_bytes: Size limit; expanded events above it are dropped and counted.
    """

    def __init__(
        self, producer_id: str, expand_formats: ExpandFormats, max_event_bytes: int
    ) -> None:
        self._producer_id = producer_id
        self._expand_formats = expand_formats
        self._max_event_bytes = max_event_bytes
        self._told = False

    def build(self, entries: Sequence[OutboxEntry]) -> Batch:
        """Build a batch; the same entries always give the same batch, so duplicates are recognized.

        Args:
            entries: Entries of the outbox, at least one.

        Raises:
            OutboxFormatError: A compact record is of a type that cannot be expanded here.
        """
        made: list[tuple[str, ProducerRecord | Drop]] = []
        facts: list[str] = []
        for entry in entries:
            frame = entry.frame
            made += self._expanded(frame, facts) if frame.layout.is_compact else [self._sent(frame)]
        last = entries[-1]
        return Batch(
            records=[record for _, record in made if isinstance(record, ProducerRecord)],
            lost=[(topic, drop) for topic, drop in made if isinstance(drop, Drop)],
            facts=Counter(facts),
            end=last.end,
            sequence=last.frame.last_sequence,
            size=sum(len(entry.frame.value) for entry in entries),
        )

    def _sent(self, frame: Frame) -> tuple[str, ProducerRecord | Drop]:
        """Return the topic of a frame's event, and its record; a time may be no date."""
        try:
            return frame.topic, self._record(
                frame.topic, frame.key, frame.value, frame.type, frame.sequence, frame.time_ms
            )
        except Exception:  # noqa: BLE001 - it may be anything
            self._tell()
            return frame.topic, Drop.INVALID_EVENT

    def _expanded(self, frame: Frame, facts: list[str]) -> list[tuple[str, ProducerRecord | Drop]]:
        """Return a topic, and a record or the drop reason, for each event of compact records."""
        format_ = self._expand_formats.get(frame.type)
        if format_ is None:
            raise OutboxFormatError(
                f"records of the type {frame.type!r} are shipped by who appended them: "
                "run `tidegauge outbox ship` of that version, or start it again"
            )
        (_, topics, records), sequence = frame.layout, frame.sequence
        compact: Sequence[object] = ()
        made: list[tuple[str, ProducerRecord | Drop]] = []
        try:
            compact = format_.decode(frame.value)
        except Exception:  # noqa: BLE001 - it may be anything
            self._tell()
        for index in range(records):
            try:
                events, found = format_.events(compact[index], topics, self._producer_id, sequence)
                made += [
                    (topic, self._event(topic, event))
                    for topic, event in zip(topics, events, strict=True)
                ]
                facts += found
            except Exception:  # noqa: BLE001 - it may be anything
                self._tell()
                made += [(topic, Drop.INVALID_EVENT) for topic in topics]
            sequence += len(topics)
        return made

    def _tell(self) -> None:
        """Log the current exception the first time."""
        if not self._told:
            self._told = True
            _log.exception("%s: a record could not be expanded", self._producer_id)

    def _event(self, topic: str, event: RequestEvent | ResponseEvent) -> ProducerRecord | Drop:
        value = encode(event)
        if len(value) > self._max_event_bytes:
            return Drop.TOO_LARGE
        return self._record(topic, event.key, value, type(event), event.sequence, event.time_ms)

    def _record(  # noqa: PLR0913, PLR0917 - what a record consists of
        self,
        topic: str,
        key: str,
        value: bytes,
        kind: type[Event] | str,
        sequence: int,
        time_ms: int,
    ) -> ProducerRecord:
        headers = cloud_event_headers(
            event_id=str(sequence), kind=kind, source=self._producer_id, time_ms=time_ms
        )
        return ProducerRecord(topic, key.encode(), value, headers, time_ms)
