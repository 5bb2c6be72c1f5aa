"""Two ranges of the log as rows for a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tidegauge.drift.descriptors import language
from tidegauge.monitor.web.ranges import TimeRange
from tidegauge.reports.rows import Row, Sample
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.evaluations import EmbeddingEvent, JudgmentEvent
from tidegauge.schemas.exchange import Capture, Message, ResponseEvent
from tidegauge.schemas.topics import EMBEDDINGS, JUDGMENTS, RESPONSES, Topic
from tidegauge.streaming.processor import Record

__all__ = ["Reader", "SampledRecords", "sampled", "spoken_language"]

LATE_MS = 15 * 60_000
"""Events reach the log after they happened; what is judged reaches it later still."""

E = TypeVar("E", ResponseEvent, EmbeddingEvent, JudgmentEvent)

Reader = Callable[[Topic, int, int], Iterable[Record]]
"""From a topic, a start and an end (Unix milliseconds) to its records in that range."""


@dataclass(frozen=True, slots=True)
class SampledRecords:
    """The rows of one range.

    Attributes:
        rows: At most as many as were asked for.
        seen: Exchanges in the range.
        unreadable: Records that are no events.
    """

    rows: tuple[Row, ...]
    seen: int
    unreadable: int


def spoken_language(messages: Sequence[Message], capture: Capture) -> str | None:
    """Return the language of the last thing that the user said, if it was captured."""
    if capture == "none":
        return None
    spoken = (message.content for message in reversed(messages) if message.role == "user")
    text = next(spoken, None)
    return language(text) if text else None


def sampled(
    read: Reader,
    found: TimeRange,
    *,
    rows: int,
    titles: Mapping[int, str] | None = None,
) -> SampledRecords:
    """Read a range and sample its exchanges.

    Args:
        read: Reads the log.
        found: The range, in event time.
        rows: Exchanges to keep.
        titles: Cluster -> title, for those that have one.

    Raises:
        TidegaugeError: The log cannot be read.
    """
    sample = Sample(rows, spoken_language)
    unreadable = 0

    def events(topic: Topic, kind: type[E]) -> Iterable[E]:
        nonlocal unreadable
        for record in read(topic, found.start_ms, found.end_ms + LATE_MS):
            try:
                event = decode(record.value, kind)
            except DecodeError:
                unreadable += 1
                continue
            if event.time_ms in found:
                yield event

    for response in events(RESPONSES, ResponseEvent):
        sample.add(response)
    if sample.rows:
        for embedding in events(EMBEDDINGS, EmbeddingEvent):
            sample.place(embedding, titles)
        for judgment in events(JUDGMENTS, JudgmentEvent):
            sample.judge(judgment)
    return SampledRecords(sample.rows, sample.seen, unreadable)
