"""What is sent next of a run: its frames as records, folded ones unfolded."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tidegauge.capture.counts import Drop
from tidegauge.capture.delivery import Parcel
from tidegauge.capture.errors import OutboxFormatError
from tidegauge.capture.folding import Unfolds
from tidegauge.capture.frame import Frame
from tidegauge.capture.position import Place
from tidegauge.capture.reader import Entry
from tidegauge.schemas.codec import cloud_event_headers, encode, type_name

__all__ = ["Packer", "Wave"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wave:
    """What is sent together.

    Attributes:
        parcels: The records.
        lost: Topic and reason of each event that could not be made.
        noted: Facts about the frames, counted by name.
        end: The place after it.
        sequence: The last sequence before that place.
        size: Bytes of the frames that it was made of.
    """

    parcels: list[Parcel]
    lost: list[tuple[str, Drop]]
    noted: Counter[str]
    end: Place
    sequence: int
    size: int


class Packer:
    """Makes waves of a run's frames.

    Args:
        producer_id: The run's.
        unfolds: How folded records are unfolded, by their type.
        max_event_bytes: Events that turn out larger are dropped and counted.
    """

    def __init__(self, producer_id: str, unfolds: Unfolds, max_event_bytes: int) -> None:
        self._producer_id = producer_id
        self._unfolds = unfolds
        self._max_event_bytes = max_event_bytes
        self._told = False

    def pack(self, entries: Sequence[Entry]) -> Wave:
        """Make a wave; the same entries make the same one, so that a repeat is one.

        Args:
            entries: At least one.

        Raises:
            OutboxFormatError: Nobody here knows how to unfold one of them.
        """
        parcels: list[Parcel] = []
        lost: list[tuple[str, Drop]] = []
        noted: Counter[str] = Counter()
        for entry in entries:
            frame = entry.frame
            if not frame.is_folded:
                parcels.append(self._parcel(frame, frame.topic, frame.type, 0, frame.value))
                continue
            for number, topic, made in self._unfolded(frame, noted):
                if isinstance(made, Drop):
                    lost.append((topic, made))
                else:
                    kind, value = made
                    parcels.append(self._parcel(frame, topic, kind, number, value))
        last = entries[-1]
        size = sum(len(entry.frame.value) for entry in entries)
        return Wave(parcels, lost, noted, last.end, last.frame.last_sequence, size)

    def _unfolded(
        self, frame: Frame, noted: Counter[str]
    ) -> Iterator[tuple[int, str, tuple[str, bytes] | Drop]]:
        """Yield the number and topic of each of a record's events, and its type and JSON."""
        unfold = self._unfolds.get(frame.type)
        if unfold is None:
            raise OutboxFormatError(
                f"records of the type {frame.type!r} are shipped by who appended them: "
                "run `tidegauge outbox ship` of that version, or start it again"
            )
        topics = frame.topics
        try:
            events, facts = unfold(frame, self._producer_id)
            made = [
                (topic, type_name(type(event)), encode(event))
                for topic, event in zip(topics, events, strict=True)
            ]
        except Exception:  # noqa: BLE001 - whatever is wrong with a record, the rest goes on
            if not self._told:
                self._told = True
                _log.exception("%s: a record could not be unfolded", self._producer_id)
            yield from ((0, topic, Drop.INVALID_EVENT) for topic in topics)
            return
        noted.update(facts)
        for number, (topic, kind, value) in enumerate(made):
            too_large = len(value) > self._max_event_bytes
            yield number, topic, Drop.TOO_LARGE if too_large else (kind, value)

    def _parcel(self, frame: Frame, topic: str, kind: str, number: int, value: bytes) -> Parcel:
        return Parcel(
            topic=topic,
            key=frame.key.encode(),
            value=value,
            headers=cloud_event_headers(
                event_id=str(frame.sequence + number),
                kind=kind,
                source=self._producer_id,
                time_ms=frame.time_ms,
            ),
            time_ms=frame.time_ms,
        )
