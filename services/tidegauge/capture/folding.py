"""Folded records: what happened, in the fewest bytes, of which the shipper makes the events.

Whoever serves appends one such record in place of several events, and leaves to the shipper's
process what would cost the serving one more than the append: parsing, checking, encoding.
What a record holds is a secret between the one that appends it and its ``Unfold``, which the
shipper's entry point hands in; here only its kind is known, and the topics of its events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

import msgspec

from tidegauge.capture.counts import captured_counter
from tidegauge.capture.frame import FOLDED, Frame, FrameEncoder
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.topics import Topic

__all__ = ["Fold", "Folded", "Unfold", "Unfolded", "Unfolds"]

R = TypeVar("R")


class Unfolded(NamedTuple):
    """What has been made of a folded record.

    Attributes:
        events: One for each of its topics, in their order.
        noted: Facts to be counted, by name (see ``Position.noted``).
    """

    events: Sequence[RequestEvent | ResponseEvent]
    noted: Sequence[str] = ()


Unfold = Callable[[Frame, str], Unfolded]
"""Makes a record's events, given its frame and its producer's id; may raise anything."""

Unfolds = Mapping[str, Unfold]
"""Type of a folded record -> how it is unfolded."""


class Fold(Generic[R]):
    """A kind of folded records.

    Attributes:
        type: As its frames bear it.
        topics: Topic of each event.
        topic: As its frames bear it.
        captured: Name of each event's counter.
        encode: Writes a record's content.

    Args:
        name: The kind's name; a change of what its records hold makes another kind.
        topics: Where the events go.
        encode: As above; may raise anything.
    """

    def __init__(self, name: str, topics: Sequence[Topic], encode: Callable[[R], bytes]) -> None:
        self.encode = encode
        self.type = f"{FOLDED}{name}"
        self.topics = tuple(topic.name for topic in topics)
        self.topic = "+".join(self.topics)
        self.captured = tuple(captured_counter(topic) for topic in self.topics)
        self.encoder = FrameEncoder(self.topic, self.type)


class Folded(msgspec.Struct, Generic[R], frozen=True):
    """A record to be appended.

    Attributes:
        fold: Its kind.
        time_ms: Event time, Unix milliseconds.
        key: Key of the events' records.
        record: What the shipper makes the events of.
    """

    fold: Fold[R]
    time_ms: int
    key: str
    record: R
