"""Records to events: what is new, what was seen before, what cannot be read.

Each event bears ``(producer_id, sequence)``, and a producer's events stand in a partition in
order: one whose sequence is not above the last one of its producer is a copy.
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

__all__ = ["UNKNOWN_PRODUCER", "Account", "Arrival", "Duplicate", "Unreadable", "deduplicate"]

E = TypeVar("E", RequestEvent, ResponseEvent)

_LARGEST = 2**62
_LAST_MS = 253_402_300_799_000  # the year 9999: no date has a name beyond it

UNKNOWN_PRODUCER = ""
"""Stands in the ledger for records that do not tell who published them."""


@dataclass(frozen=True, slots=True)
class Arrival(Generic[E]):
    """A record with a new event."""

    record: Record
    event: E


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A record with an event that was seen before."""

    record: Record
    producer_id: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is no event of the expected type, with the reason.

    Attributes:
        record: The record.
        producer_id: Who published it, as far as the bytes still tell.
        sequence: Its number, 0 where the bytes do not tell.
        reason: Short code.
        detail: What is wrong, for people.
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
) -> Iterator[Arrival[E] | Duplicate | Unreadable]:
    """Tell new events from copies and from what cannot be read, in the records' order.

    Args:
        records: In order within each partition.
        kind: The type of event that is expected.
        last_sequence: Highest sequence taken into account before these records.
    """
    last: dict[tuple[Partition, str], int] = {}
    for record in records:
        found: Arrival[E] | Unreadable
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
            found = Arrival(record, event)
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
    # Snapshots and readers in other languages have 64 bits for a number.
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


class Account:
    """What became of one producer's events in one partition, counted in place.

    Attributes:
        last_sequence: The highest sequence seen.
        active_ms: Greatest event time of an event of it, 0 before the first.
    """

    __slots__ = ("_dead_lettered", "_processed", "_repeated", "active_ms", "last_sequence")

    def __init__(self, tally: Tally, active_ms: int = 0) -> None:
        self._processed = tally.processed
        self._dead_lettered = tally.dead_lettered
        self._repeated = tally.repeated
        self.last_sequence = tally.last_sequence
        self.active_ms = active_ms

    def process(self, sequence: int, time_ms: int) -> None:
        """Count an event that was taken into account."""
        self._processed += 1
        self.last_sequence = sequence
        self.active_ms = max(self.active_ms, time_ms)

    def put_aside(self, sequence: int, time_ms: int) -> None:
        """Count a dead letter; a sequence of 0 is unknown."""
        self._dead_lettered += 1
        self.active_ms = max(self.active_ms, time_ms)
        self.last_sequence = max(self.last_sequence, sequence)

    def repeat(self) -> None:
        """Count a copy."""
        self._repeated += 1

    def tally(self) -> Tally:
        """Return the counts."""
        return Tally(
            processed=self._processed,
            dead_lettered=self._dead_lettered,
            repeated=self._repeated,
            last_sequence=self.last_sequence,
        )
