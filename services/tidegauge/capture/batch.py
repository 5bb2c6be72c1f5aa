"""Builds batches of Kafka records from a run's frames and expands compact records into events."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tidegauge.capture.counters import Drop
from tidegauge.capture.delivery import ProducerRecord
from tidegauge.capture.errors import OutboxFormatError
from tidegauge.capture.frame import ExpandFormats, Frame
from tidegauge.capture.reader import OutboxEntry
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
        records: list[ProducerRecord] = []
        lost: list[tuple[str, Drop]] = []
        facts: Counter[str] = Counter()
        for entry in entries:
            frame = entry.frame
            for topic, made in (
                self._expanded(frame, facts) if frame.is_compact else self._of(frame)
            ):
                if isinstance(made, Drop):
                    lost.append((topic, made))
                else:
                    records.append(made)
        last = entries[-1]
        size = sum(len(entry.frame.value) for entry in entries)
        return Batch(records, lost, facts, last.end, last.frame.last_sequence, size)

    def _of(self, frame: Frame) -> Iterator[tuple[str, ProducerRecord | Drop]]:
        """Yield the topic of a frame's event, and its record; a time may be no date."""
        made: ProducerRecord | Drop = Drop.INVALID_EVENT
        with self._skipping_errors():
            made = self._record(
                frame.topic,
                frame.key,
                frame.value,
                kind=frame.type,
                sequence=frame.sequence,
                time_ms=frame.time_ms,
            )
        yield frame.topic, made

    def _expanded(
        self, frame: Frame, facts: Counter[str]
    ) -> Iterator[tuple[str, ProducerRecord | Drop]]:
        """Yield a topic, and a record or the drop reason, for each event of the compact records."""
        format_ = self._expand_formats.get(frame.type)
        if format_ is None:
            raise OutboxFormatError(
                f"records of the type {frame.type!r} are shipped by who appended them: "
                "run `tidegauge outbox ship` of that version, or start it again"
            )
        topics = frame.topics
        compact: Sequence[object] = ()
        with self._skipping_errors():
            compact = format_.decode(frame.value)
        for number in range(frame.records):
            sequence = frame.sequence + number * len(topics)
            records: list[ProducerRecord | Drop] = [Drop.INVALID_EVENT] * len(topics)
            with self._skipping_errors():
                made = format_.events(compact[number], topics, self._producer_id, sequence)
                records = [
                    self._event(topic, event)
                    for topic, event in zip(topics, made.events, strict=True)
                ]
                facts.update(made.facts)
            yield from zip(topics, records, strict=True)

    @contextmanager
    def _skipping_errors(self) -> Iterator[None]:
        """Suppress the error of a bad record; the first one is logged."""
        try:
            yield
        except Exception:  # noqa: BLE001 - it may be anything
            if not self._told:
                self._told = True
                _log.exception("%s: a record could not be expanded", self._producer_id)

    def _event(self, topic: str, event: RequestEvent | ResponseEvent) -> ProducerRecord | Drop:
        value = encode(event)
        if len(value) > self._max_event_bytes:
            return Drop.TOO_LARGE
        return self._record(
            topic,
            event.key,
            value,
            kind=type(event),
            sequence=event.sequence,
            time_ms=event.time_ms,
        )

    def _record(  # noqa: PLR0913 - what a record consists of
        self,
        topic: str,
        key: str,
        value: bytes,
        *,
        kind: type[Event] | str,
        sequence: int,
        time_ms: int,
    ) -> ProducerRecord:
        return ProducerRecord(
            topic=topic,
            key=key.encode(),
            value=value,
            headers=cloud_event_headers(
                event_id=str(sequence), kind=kind, source=self._producer_id, time_ms=time_ms
            ),
            time_ms=time_ms,
        )
