"""Folded records: what happened, in the fewest bytes, of which the shipper makes the events.

Whoever serves appends one such record in place of several events, and leaves to the shipper's
process what would cost the serving one more than the append: parsing, checking, encoding.
Records that are appended together share a frame. What a record holds is a secret between the
one that appends it and its ``ExpandFormat``, which the shipper's entry point hands in; here only
its kind is known, and the topics of its events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from tidegauge.capture.counters import captured_counter
from tidegauge.capture.frame import FOLDED, FrameEncoder
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.topics import Topic

__all__ = ["CompactFormat", "ExpandFormat", "ExpandFormats", "Expanded"]

R = TypeVar("R")


class Expanded(NamedTuple):
    """What has been made of a folded record.

    Attributes:
        events: One for each of its topics, in their order.
        noted: Facts to be counted, by name (see ``Position.noted``).
    """

    events: Sequence[RequestEvent | ResponseEvent]
    noted: Sequence[str] = ()


class ExpandFormat(NamedTuple, Generic[R]):
    """How records of one kind are unfolded; both may raise anything.

    Attributes:
        decode: Reads what ``CompactFormat.encode`` has written.
        events: Makes a record's events, given their topics, their producer's id and the first
            one's sequence.
    """

    decode: Callable[[bytes], Sequence[R]]
    events: Callable[[R, Sequence[str], str, int], Expanded]


ExpandFormats = Mapping[str, ExpandFormat[Any]]
"""Type of folded records -> how they are unfolded."""


class CompactFormat(Generic[R]):
    """A kind of folded records.

    Attributes:
        type: As its frames bear it.
        topics: Topic of each of a record's events.
        topic: All of them in one text.
        captured: Name of each event's counter.
        encode: Writes records.

    Args:
        name: The kind's name; a change of what its records hold makes another kind.
        topics: Where the events go.
        encode: As above; may raise anything.
    """

    def __init__(
        self, name: str, topics: Sequence[Topic], encode: Callable[[Sequence[R]], bytes]
    ) -> None:
        self.encode = encode
        self.type = f"{FOLDED}{name}"
        self.topics = tuple(topic.name for topic in topics)
        self.topic = "+".join(self.topics)
        self.captured = tuple(captured_counter(topic) for topic in self.topics)

    def frame(self, sequence: int, records: int, value: bytes) -> bytes:
        """Return the frame of some records.

        Args:
            sequence: Of their first event.
            records: How many they are.
            value: What ``encode`` has made of them.
        """
        return _encoder(self, records).encode(sequence, 0, "", value)


@lru_cache(maxsize=512)
def _encoder(fold: CompactFormat[Any], records: int) -> FrameEncoder:
    return FrameEncoder(f"{fold.topic}*{records}", fold.type)
