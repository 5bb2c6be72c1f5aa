"""What is sent next of a run: its events as Kafka's records, folded ones unfolded."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tidegauge.capture.compact import ExpandFormats
from tidegauge.capture.counters import Drop
from tidegauge.capture.delivery import ProducerRecord
from tidegauge.capture.errors import OutboxFormatError
from tidegauge.capture.frame import Frame
from tidegauge.capture.reader import OutboxEntry
from tidegauge.capture.runs import Place
from tidegauge.schemas.codec import cloud_event_headers, encode, type_name
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent

__all__ = ["Batch", "BatchBuilder"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent together.

    Attributes:
        parcels: The records.
        lost: Topic and reason of each event that could not be made.
        noted: Facts about the frames, counted by name.
        end: The place after it.
        sequence: The last sequence before that place.
        size: Bytes of the frames that it was made of.
    """

    parcels: list[ProducerRecord]
    lost: list[tuple[str, Drop]]
    noted: Counter[str]
    end: Place
    sequence: int
    size: int


class BatchBuilder:
    """Makes waves of a run's frames.

    Args:
        producer_id: The run's.
        unfolds: How folded records are unfolded, by their type.
        max_event_bytes: Events that turn out larger are dropped and counted.
    """

    def __init__(self, producer_id: str, unfolds: ExpandFormats, max_event_bytes: int) -> None:
        self._producer_id = producer_id
        self._unfolds = unfolds
        self._max_event_bytes = max_event_bytes
        self._told = False

    def pack(self, entries: Sequence[OutboxEntry]) -> Batch:
        """Make a wave; the same entries make the same one, so that a repeat is one.

        Args:
            entries: At least one.

        Raises:
            OutboxFormatError: Nobody here knows how to unfold one of them.
        """
        parcels: list[ProducerRecord] = []
        lost: list[tuple[str, Drop]] = []
        noted: Counter[str] = Counter()
        for entry in entries:
            frame = entry.frame
            if not frame.is_folded:
                parcels.append(
                    self._parcel(
                        frame.topic,
                        frame.key,
                        frame.value,
                        kind=frame.type,
                        sequence=frame.sequence,
                        time_ms=frame.time_ms,
                    )
                )
                continue
            for topic, made in self._unfolded(frame, noted):
                if isinstance(made, Drop):
                    lost.append((topic, made))
                else:
                    parcels.append(made)
        last = entries[-1]
        size = sum(len(entry.frame.value) for entry in entries)
        return Batch(parcels, lost, noted, last.end, last.frame.last_sequence, size)

    def _unfolded(
        self, frame: Frame, noted: Counter[str]
    ) -> Iterator[tuple[str, ProducerRecord | Drop]]:
        """Yield the topic of each of the records' events, and the event or why there is none."""
        unfold = self._unfolds.get(frame.type)
        if unfold is None:
            raise OutboxFormatError(
                f"records of the type {frame.type!r} are shipped by who appended them: "
                "run `tidegauge outbox ship` of that version, or start it again"
            )
        topics = frame.topics
        records: Sequence[object] = ()
        with self._whatever_is_wrong():
            records = unfold.decode(frame.value)
        for number in range(frame.records):
            sequence = frame.sequence + number * len(topics)
            parcels: list[ProducerRecord | Drop] = [Drop.INVALID_EVENT] * len(topics)
            with self._whatever_is_wrong():
                made = unfold.events(records[number], topics, self._producer_id, sequence)
                parcels = [
                    self._event(topic, event)
                    for topic, event in zip(topics, made.events, strict=True)
                ]
                noted.update(made.noted)
            yield from zip(topics, parcels, strict=True)

    @contextmanager
    def _whatever_is_wrong(self) -> Iterator[None]:
        """Go on whatever is wrong with a record, and say so the first time."""
        try:
            yield
        except Exception:  # noqa: BLE001 - it may be anything
            if not self._told:
                self._told = True
                _log.exception("%s: a record could not be unfolded", self._producer_id)

    def _event(self, topic: str, event: RequestEvent | ResponseEvent) -> ProducerRecord | Drop:
        value = encode(event)
        if len(value) > self._max_event_bytes:
            return Drop.TOO_LARGE
        return self._parcel(
            topic,
            event.request_id,
            value,
            kind=type_name(type(event)),
            sequence=event.sequence,
            time_ms=event.time_ms,
        )

    def _parcel(  # noqa: PLR0913 - what a record consists of
        self, topic: str, key: str, value: bytes, *, kind: str, sequence: int, time_ms: int
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
