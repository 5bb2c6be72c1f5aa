"""Deduplication: records become new events, duplicates or unreadable records.

Each event carries ``(producer_id, sequence)``, and a partition holds a producer's events in
order: an event whose sequence is not above its producer's last one is usually a duplicate.
``tallies`` tells when it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar
from zlib import crc32

import msgspec

from tidegauge.schemas import DecodeError, DecodeReason, decode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.streaming.processor import Partition, Record
from tidegauge.streaming.tallies import UNKNOWN_PRODUCER, Sequences

__all__ = ["Duplicate", "NewEvent", "Unreadable", "deduplicate"]

E = TypeVar("E", RequestEvent, ResponseEvent)

_LARGEST = 2**62
_NAME_CHARACTERS = 512
"""Longest name of a producer or a request: they are identities, which must not be cut."""
_FIRST_MICROSECOND = 10**15
_SECONDS = range(10**9, 10**10)
"""Seconds from 2001 to 2286; as milliseconds they would be days in 1970."""
_LAST_MS = 253_402_300_799_000  # the end of the year 9999, beyond which dates cannot be formatted


@dataclass(frozen=True, slots=True)
class NewEvent(Generic[E]):
    """A record with a new event.

    Attributes:
        record: The record.
        event: The event.
        time_ms: Its time, no later than the log's clock allows.
        digest: Hash of the request id.
    """

    record: Record
    event: E
    time_ms: int
    digest: int


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A record with an event that was processed before.

    Attributes:
        record: The record.
        producer_id: Its producer.
        first: Whether it is the producer's first event, and only its time shows a copy.
    """

    record: Record
    producer_id: str
    first: bool = False


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
    records: Iterable[Record],
    kind: type[E],
    sequences: Callable[[Partition, str], Sequences],
    bounded_time: Callable[[Record, int], int],
) -> Iterator[NewEvent[E] | Duplicate | Unreadable]:
    """Classify records as new events, duplicates or unreadable, in the records' order.

    Tombstones, which erase what lies before them, are left out.

    Args:
        records: Records, in order within each partition.
        kind: The expected type of event.
        sequences: Returns a copy of what was seen of a producer before these records.
        bounded_time: Returns an event's time, no later than the log's clock allows.
    """
    seen: dict[tuple[Partition, str], Sequences] = {}
    for record in records:
        if record.is_tombstone:
            continue
        found: NewEvent[E] | Unreadable
        digest: int | None = None
        time_ms = 0
        try:
            event = _read(record, kind)
        except DecodeError as error:
            signature = _signed(record.value)
            producer_id, sequence = signature.producer_id, signature.sequence
            found = Unreadable(record, producer_id, sequence, error.reason.value, error.detail)
            if not sequence:
                yield found
                continue
        else:
            producer_id, sequence = event.producer_id, event.sequence
            time_ms = bounded_time(record, event.time_ms)
            digest = crc32(event.request_id.encode())
            found = NewEvent(record, event, time_ms, digest)
        source = (record.partition, producer_id)
        before = seen.get(source)
        if before is None:
            before = seen[source] = sequences(*source)
        if before.has(sequence, digest, time_ms):
            first = sequence == 1 and not before.knows(sequence)
            yield Duplicate(record, producer_id, first)
        else:
            before.add(sequence, digest, time_ms)
            yield found


def _read(record: Record, kind: type[E]) -> E:
    if record.unreadable:
        raise DecodeError(DecodeReason.NOT_UNPACKED, record.unreadable)
    try:
        event = decode(record.value, kind)
    except (UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(DecodeReason.MALFORMED_JSON, str(error)) from error
    if event.time_ms in _SECONDS or event.time_ms >= _FIRST_MICROSECOND:
        unit = "seconds" if event.time_ms in _SECONDS else "microseconds or nanoseconds"
        raise DecodeError(
            DecodeReason.TIME_UNIT,
            f"time_ms is {event.time_ms}: Unix milliseconds are expected, these are {unit}",
        )
    longest = max(len(event.producer_id), len(event.request_id))
    if longest > _NAME_CHARACTERS:
        raise DecodeError(
            DecodeReason.INVALID_FIELD,
            f"producer_id or request_id has {longest} characters, at most {_NAME_CHARACTERS} "
            "are allowed",
        )
    # Snapshots, and readers in other languages, hold integers in 64 bits.
    if not 0 < event.sequence <= _LARGEST:
        raise _beyond("sequence", event.sequence, _LARGEST)
    if not 0 < event.time_ms <= _LAST_MS:
        raise _beyond("time_ms", event.time_ms, _LAST_MS)
    return event


def _beyond(name: str, number: int, most: int) -> DecodeError:
    return DecodeError(DecodeReason.INVALID_FIELD, f"{name} is {number}, not within 1 and {most}")


def _signed(value: bytes) -> _Signature:
    try:
        found = _signature.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Signature()
    return found if 0 < found.sequence <= _LARGEST else _Signature()
