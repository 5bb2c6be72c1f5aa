"""The format of the outbox on disk, version 4; later versions can read it.

A segment is one file. All numbers are unsigned and little-endian. A segment begins with a
header::

    8 bytes   "TGOUTBOX"
    u16       version, 1 to 4
    u16       length of the producer id
    …         producer id, UTF-8
    u32       CRC-32C of all of the above

and continues with frames, in the order of their sequences::

    u32       length of the body
    u32       CRC-32C of the body
    body:
        u64   sequence
        u64   event time, Unix milliseconds
        u8    length of the topic
        u8    length of the event's type
        u16   length of the key
        …     topic, type, key: UTF-8
        …     the event: the rest of the body

The shipper makes the CloudEvents headers from a frame: the id is the sequence, the source is
the producer id.

A frame holds one event, or compact records from which the shipper makes events. The type of
compact records begins with ``compact:`` (``folded:`` up to version 3). Their topic names one
topic for each event of a record, joined by ``+``, then after a ``*`` the number of records; if
the number is missing, it is one. Their events have the frame's sequence and those that follow;
each event has its own time and key. A serving process appends compact records when parsing,
checking and encoding events would cost it more than the append; records that are appended
together share a frame. Only the process that appends a record and the ``ExpandFormat`` of its
shipper know the record's content.

From version 3 on, the last bytes of a run's last segment may be in its write buffer (see
``outbox``).

A file is only ever appended to. So a killed writer or a crashed machine can damage only the last
frame, which is then too short or has a wrong checksum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, Final, Generic, NamedTuple, TypeVar

import crc32c
import msgspec

from tidegauge.capture.counters import captured_counter
from tidegauge.capture.errors import OutboxFormatError
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.topics import Topic

__all__ = [
    "CompactFormat",
    "Damage",
    "ExpandFormat",
    "ExpandFormats",
    "Expanded",
    "Frame",
    "FrameEncoder",
    "Incomplete",
    "Layout",
    "decode_frame",
    "encode_header",
    "read_header",
]

MAGIC: Final = b"TGOUTBOX"
VERSION: Final = 4
_READ: Final = (1, 2, 3, 4)
_COMPACT: Final = "compact:"
_COMPACT_TYPES: Final = (_COMPACT, "folded:")
"""Prefixes of the type of compact records, in this version and in earlier ones."""

R = TypeVar("R")

_HEADER = Struct("<8sHH")
_CRC = Struct("<I")
_PREFIX = Struct("<II")
_BODY = Struct("<QQBBH")

MAX_BODY: Final = 1 << 28
"""Most bytes of a body; a larger length is damage."""


class Incomplete(Exception):  # noqa: N818 - a state of the file, no error
    """The bytes end before the frame or header does."""


class Damage(Exception):  # noqa: N818 - told to the reader, who counts it
    """The bytes are not a frame."""


class Layout(NamedTuple):
    """How the events of a frame are numbered.

    Attributes:
        is_compact: Whether the frame holds compact records.
        topics: The event's topic, or the topics of a compact record's events.
        records: The number of compact records; 1 for an event.
    """

    is_compact: bool
    topics: tuple[str, ...]
    records: int


class Frame(msgspec.Struct, frozen=True):
    """One event, or compact records, as stored in the outbox.

    Attributes:
        sequence: The event's number within the run, from 1; the first event's if there are
            several.
        last_sequence: The sequence of the last event.
        time_ms: Event time, Unix milliseconds; 0 for compact records.
        topic: The event's topic; for compact records see the module's description.
        type: The event's type, such as ``tidegauge.request``, or the compact records' type.
        key: Key of the event's Kafka record; empty for compact records.
        value: The event as JSON, or the compact records.
        layout: How its events are numbered.
    """

    sequence: int
    last_sequence: int
    time_ms: int
    topic: str
    type: str
    key: str
    value: bytes
    layout: Layout


@lru_cache(maxsize=512)
def _layout(topic: str, type_name: str) -> Layout:
    if not type_name.startswith(_COMPACT_TYPES):
        return Layout(is_compact=False, topics=(topic,), records=1)
    names, _, records = topic.partition("*")
    return Layout(is_compact=True, topics=tuple(names.split("+")), records=int(records or 1))


def encode_header(producer_id: str) -> bytes:
    """Return the header of a segment."""
    name = producer_id.encode()
    head = _HEADER.pack(MAGIC, VERSION, len(name)) + name
    return head + _CRC.pack(crc32c.crc32c(head))


def read_header(data: bytes) -> tuple[str, int]:
    """Return the producer id and the offset of the first frame.

    Raises:
        Incomplete: More bytes are needed.
        Damage: The bytes are not a segment's header.
        OutboxFormatError: The segment is of a later version.
    """
    if len(data) < _HEADER.size:
        raise Incomplete
    magic, version, length = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise Damage
    if version not in _READ:
        raise OutboxFormatError(
            f"the segment is of version {version}, this shipper knows up to {VERSION}: "
            "ship it with the tidegauge that wrote it, or a newer one"
        )
    end = _HEADER.size + length
    if len(data) < end + _CRC.size:
        raise Incomplete
    if _CRC.unpack_from(data, end)[0] != crc32c.crc32c(data[:end]):
        raise Damage
    return data[_HEADER.size : end].decode(), end + _CRC.size


class FrameEncoder:
    """Encodes the frames of one topic's events of one type, or of compact records."""

    def __init__(self, topic: str, type_name: str) -> None:
        self._names = topic.encode() + type_name.encode()
        self._topic_length = len(topic.encode())
        self._type_length = len(type_name.encode())

    def encode(self, sequence: int, time_ms: int, key: str, value: bytes) -> bytes:
        """Return one frame.

        Raises:
            struct.error: A number or the key's length does not fit.
        """
        name = key.encode()
        head = _BODY.pack(sequence, time_ms, self._topic_length, self._type_length, len(name))
        head += self._names + name
        checksum = crc32c.crc32c(value, crc32c.crc32c(head))
        return b"".join((_PREFIX.pack(len(head) + len(value), checksum), head, value))


def decode_frame(data: bytes, start: int) -> tuple[Frame, int]:
    """Return the frame at ``start`` and the offset of the next one.

    Raises:
        Incomplete: The bytes end before the frame does.
        Damage: The bytes there are not a frame.
    """
    if len(data) - start < _PREFIX.size:
        raise Incomplete
    length, checksum = _PREFIX.unpack_from(data, start)
    if not _BODY.size <= length <= MAX_BODY:
        raise Damage
    start += _PREFIX.size
    end = start + length
    if len(data) < end:
        raise Incomplete
    body = data[start:end]
    if crc32c.crc32c(body) != checksum:
        raise Damage
    sequence, time_ms, topic_length, type_length, key_length = _BODY.unpack_from(body)
    type_start = _BODY.size + topic_length
    key_start = type_start + type_length
    value_start = key_start + key_length
    try:
        topic = body[_BODY.size : type_start].decode()
        type_name = body[type_start:key_start].decode()
        key = body[key_start:value_start].decode()
        layout = _layout(topic, type_name)
    except ValueError as error:  # no UTF-8, or no number of records
        raise Damage from error
    last = sequence + layout.records * len(layout.topics) - 1
    value = body[value_start:]
    frame = Frame(sequence, last, time_ms, topic, type_name, key, value, layout)
    return frame, end


class Expanded(NamedTuple):
    """The events made of a compact record.

    Attributes:
        events: One event for each of the record's topics, in their order.
        facts: Names of facts to count (see ``Position.facts``).
    """

    events: Sequence[RequestEvent | ResponseEvent]
    facts: Sequence[str] = ()


class ExpandFormat(NamedTuple, Generic[R]):
    """How records of one kind are expanded; both functions may raise any exception.

    Attributes:
        decode: Decodes the bytes that ``CompactFormat.encode`` returned.
        events: Makes a record's events from the record, their topics, the producer id and the
            first event's sequence.
    """

    decode: Callable[[bytes], Sequence[R]]
    events: Callable[[R, Sequence[str], str, int], Expanded]


ExpandFormats = Mapping[str, ExpandFormat[Any]]
"""Type of compact records -> how they are expanded."""


class CompactFormat(Generic[R]):
    """Format of one kind of compact records.

    Attributes:
        type: The type in the frames of these records.
        topics: Topic of each of a record's events.
        topic: The topics joined by ``+``.
        captured: Name of each event's counter.
        encode: Encodes records.

    Args:
        name: Name of the kind; records with other content need another name.
        topics: Topic of each of a record's events.
        encode: Encodes records; may raise any exception.
    """

    def __init__(
        self, name: str, topics: Sequence[Topic], encode: Callable[[Sequence[R]], bytes]
    ) -> None:
        self.encode = encode
        self.type = f"{_COMPACT}{name}"
        self.topics = tuple(topic.name for topic in topics)
        self.topic = "+".join(self.topics)
        self.captured = tuple(captured_counter(topic) for topic in self.topics)

    def frame(self, sequence: int, records: int, value: bytes) -> bytes:
        """Return the frame of some records.

        Args:
            sequence: Sequence of the first event.
            records: The number of records.
            value: The encoded records.
        """
        return _encoder(self, records).encode(sequence, 0, "", value)


@lru_cache(maxsize=512)
def _encoder(format_: CompactFormat[Any], records: int) -> FrameEncoder:
    return FrameEncoder(f"{format_.topic}*{records}", format_.type)
