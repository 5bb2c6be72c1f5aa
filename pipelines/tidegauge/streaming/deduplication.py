"""Deduplication: records become new events, duplicates or unreadable records.

Each event carries ``(producer_id, sequence)``, and a partition holds a producer's events in
order: an event whose sequence is not above its producer's last one is a duplicate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from tidegauge.schemas import DecodeError, DecodeReason, decode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.sketches import Tally
from tidegauge.streaming.processor import Partition, Record

__all__ = [
    "UNKNOWN_PRODUCER",
    "Duplicate",
    "NewEvent",
    "TallyAccumulator",
    "Unreadable",
    "deduplicate",
]

E = TypeVar("E", RequestEvent, ResponseEvent)

_LARGEST = 2**62
_LAST_MS = 253_402_300_799_000  # the end of the year 9999, beyond which dates cannot be formatted

UNKNOWN_PRODUCER = ""
"""The ledger's producer id for records that do not name their producer."""


@dataclass(frozen=True, slots=True)
class NewEvent(Generic[E]):
    """A record with a new event."""

    record: Record
    event: E


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A record with an event that was processed before."""

    record: Record
    producer_id: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that cannot be decoded as an event of the expected type.

    Attributes:
        record: The record.
        producer_id: Its producer, if it can be read.
        sequence: Its sequence, 0 if it cannot be read.
        reason: Reason code of the dead letter.
        detail: The decoder's message.
    """

    record: Record
    producer_id: str
    sequence: int
    reason: str
    detail: str


class _Signature(msgspec.Struct):
    producer_id: str = UNKNOWN_PRODUCER
    sequence: int = 0


_signature = msgspec.json.Decoder(_Signature)


def deduplicate(
    records: Iterable[Record], kind: type[E], last_sequence: Callable[[Partition, str], int]
) -> Iterator[NewEvent[E] | Duplicate | Unreadable]:
    """Classify records as new events, duplicates or unreadable, in the records' order.

    Args:
        records: Records, in order within each partition.
        kind: The expected type of event.
        last_sequence: Returns the highest sequence of a producer before these records.
    """
    last: dict[tuple[Partition, str], int] = {}
    for record in records:
        found: NewEvent[E] | Unreadable
        try:
            event = _read(record.value, kind)
        except DecodeError as error:
            signature = _signed(record.value)
            producer_id, sequence = signature.producer_id, signature.sequence
            found = Unreadable(record, producer_id, sequence, error.reason.value, error.detail)
            if not sequence:
                yield found
                continue
        else:
            producer_id, sequence = event.producer_id, event.sequence
            found = NewEvent(record, event)
        source = (record.partition, producer_id)
        before = last.get(source)
        if before is None:
            before = last_sequence(*source)
        if sequence <= before:
            yield Duplicate(record, producer_id)
        else:
            last[source] = sequence
            yield found


def _read(value: bytes, kind: type[E]) -> E:
    try:
        event = decode(value, kind)
    except (UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(DecodeReason.MALFORMED_JSON, str(error)) from error
    # Snapshots, and readers in other languages, hold integers in 64 bits.
    for name, number, most in (
        ("sequence", event.sequence, _LARGEST),
        ("time_ms", event.time_ms, _LAST_MS),
    ):
        if not 0 < number <= most:
            raise DecodeError(
                DecodeReason.INVALID_FIELD, f"{name} is {number}, not within 1 and {most}"
            )
    return event


def _signed(value: bytes) -> _Signature:
    try:
        found = _signature.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Signature()
    return found if 0 < found.sequence <= _LARGEST else _Signature()


class TallyAccumulator:
    """Counts one producer's events in one partition in place; ``tally()`` is its value.

    Attributes:
        last_sequence: The highest sequence seen.
        active_ms: Greatest event time of its events, 0 before the first.
    """

    __slots__ = ("_dead_lettered", "_processed", "_repeated", "active_ms", "last_sequence")

    def __init__(self, tally: Tally, active_ms: int = 0) -> None:
        self._processed = tally.processed
        self._dead_lettered = tally.dead_lettered
        self._repeated = tally.repeated
        self.last_sequence = tally.last_sequence
        self.active_ms = active_ms

    def count_processed(self, sequence: int, time_ms: int) -> None:
        """Count a processed event."""
        self._processed += 1
        self.last_sequence = sequence
        self.active_ms = max(self.active_ms, time_ms)

    def count_dead_letter(self, sequence: int, time_ms: int) -> None:
        """Count a dead letter; a sequence of 0 means that it is unknown."""
        self._dead_lettered += 1
        self.active_ms = max(self.active_ms, time_ms)
        self.last_sequence = max(self.last_sequence, sequence)

    def count_repeated(self) -> None:
        """Count a duplicate."""
        self._repeated += 1

    def tally(self) -> Tally:
        """Return the counts."""
        return Tally(
            processed=self._processed,
            dead_lettered=self._dead_lettered,
            repeated=self._repeated,
            last_sequence=self.last_sequence,
        )
