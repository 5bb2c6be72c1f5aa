"""Erasing the texts of a request, a conversation or a customer from the log.

All texts lie in the topics with ``holds_text``, where every record has a key of its own. A
tombstone of that key has the broker remove the record, and no other, when it next compacts the
topic. Everything else only names requests, and reads as expired afterwards.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tidegauge.runtime.kafka import admin, erasing, reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.evaluations import EmbeddingEvent, JudgmentEvent, LabelEvent, Remark
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.operations import DeadLetter
from tidegauge.schemas.sketches import RecordPlace
from tidegauge.schemas.topics import (
    ALL_TOPICS,
    DEAD_LETTERS,
    EMBEDDINGS,
    JUDGMENTS,
    LABELS,
    REMARKS,
    REQUESTS,
    RESPONSES,
    Topic,
)
from tidegauge.streaming.processor import Record

__all__ = ["TEXTS", "Erasure", "Subject", "TopicErasure", "erase"]

_WAIT_SECONDS: Final = 240.0
TEXTS: Final = (REQUESTS, RESPONSES, EMBEDDINGS, REMARKS, DEAD_LETTERS)
_FOR_EVER_MS: Final = 100 * 365 * 86_400_000
_NAMING: Final = (JUDGMENTS, LABELS)
"""Topics of scores, which are kept for longer and name requests."""

Read = Callable[[Topic], Iterable[Record]]


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose texts are erased: exactly one of the three is given.

    Attributes:
        request_id: One request.
        conversation_id: All requests of a conversation.
        customer: All requests of a customer.
    """

    request_id: str = ""
    conversation_id: str = ""
    customer: str = ""

    def __call__(self, event: RequestEvent | ResponseEvent) -> bool:
        """Return whether an event is the subject's."""
        if self.request_id:
            return event.request_id == self.request_id
        if self.conversation_id:
            return event.conversation_id == self.conversation_id
        return event.customer == self.customer

    @property
    def name(self) -> str:
        """The id or name."""
        return self.request_id or self.conversation_id or self.customer

    @property
    def written(self) -> bytes:
        """The id or name as it stands in an event's JSON."""
        return msgspec.json.encode(self.name)


class TopicErasure(msgspec.Struct, frozen=True, kw_only=True):
    """What was found and done in one topic.

    Attributes:
        topic: The topic's name.
        found: Records of the subject that the log holds.
        erased: Of these, how many have a tombstone now.
        held: Of these, how many the broker still holds, as far as that was looked at.
        until_ms: When the last of them is gone, by the topic's settings, Unix milliseconds; None
            if nothing is held, or the settings are not known.
        note: What else there is to know.
    """

    topic: str
    found: int
    erased: int
    held: int
    until_ms: int | None = None
    note: str = ""


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What was found and done.

    Attributes:
        requests: Requests of the subject whose ids are known.
        first_ms: Time of the first of them, Unix milliseconds; None without one.
        last_ms: Time of the last of them.
        topics: Topics with texts.
        named: Topic -> number of its records that name the requests and hold no text.
        dry_run: Whether nothing was changed.
    """

    requests: int
    first_ms: int | None
    last_ms: int | None
    topics: tuple[TopicErasure, ...]
    named: dict[str, int]
    dry_run: bool


@dataclass(slots=True)
class _Found:
    """The subject's requests with their times, and its records in the topics with texts.

    Attributes:
        requests: Request -> its time.
        keys: Topic -> place -> key.
        marked: Topic -> places of records that a tombstone erases.
        held: Topic -> places of records that the broker still holds.
        newest_ms: Topic -> timestamp of its newest record.
        named: Topic -> number of records that name the requests.
    """

    requests: dict[str, int] = field(default_factory=dict)
    keys: dict[str, dict[RecordPlace, bytes]] = field(default_factory=dict)
    marked: dict[str, set[RecordPlace]] = field(default_factory=dict)
    held: dict[str, set[RecordPlace]] = field(default_factory=dict)
    newest_ms: dict[str, int] = field(default_factory=dict)
    named: dict[str, int] = field(default_factory=dict)

    def collect(self, read: Read, topic: Topic, belongs: Callable[[Record], bool]) -> None:
        """Read a topic, and take the records that belong to the subject."""
        keys = self.keys[topic.name] = {}
        marked = self.marked[topic.name] = set()
        unmarked: defaultdict[tuple[int, bytes], list[RecordPlace]] = defaultdict(list)
        for record in read(topic):
            index, key = record.partition.index, record.key or b""
            if record.is_tombstone:
                marked.update(unmarked.pop((index, key), ()))
            elif belongs(record):
                place = RecordPlace(topic.name, index, record.offset)
                keys[place] = key
                if key:
                    unmarked[index, key].append(place)
                newest = self.newest_ms.get(topic.name, 0)
                self.newest_ms[topic.name] = max(newest, record.timestamp_ms)
        self.held[topic.name] = set(keys)

    def unmarked(self) -> Iterator[tuple[RecordPlace, bytes]]:
        """Yield the records that have a key and no tombstone yet."""
        for name, keys in self.keys.items():
            for place, key in keys.items():
                if key and place not in self.marked[name]:
                    yield place, key


def erase(
    settings: KafkaSettings,
    subject: Subject,
    *,
    now_ms: int,
    dry_run: bool = False,
    at_once: bool = False,
) -> Erasure:
    """Erase a subject's texts; doing so again changes nothing.

    Args:
        settings: How to reach Kafka.
        subject: Whose texts.
        now_ms: The present, Unix milliseconds.
        dry_run: Only look.
        at_once: Have the broker compact the topics at once, and wait for it some minutes.

    Raises:
        TopicError: A topic is missing.
        LogError: The broker does not answer or refuses.
    """
    # A transaction that is still open hides texts, and one that was aborted leaves them there.
    found = _find(lambda topic: reader.read(settings, topic, uncommitted=True), subject)
    if not dry_run:
        fresh = list(found.unmarked())
        erasing.write_tombstones(settings, fresh)
        for place, _ in fresh:
            found.marked[place.topic].add(place)
        if at_once:
            _compact(settings, found)
    configured = admin.topic_settings(settings, TEXTS) or {}
    times = found.requests.values()
    return Erasure(
        requests=len(found.requests),
        first_ms=min(times, default=None),
        last_ms=max(times, default=None),
        topics=tuple(
            _topic(topic, found, configured.get(topic.name, {}), now_ms) for topic in TEXTS
        ),
        named=found.named,
        dry_run=dry_run,
    )


def _find(read: Read, subject: Subject) -> _Found:
    found = _Found()

    def is_exchange(record: Record) -> bool:
        event = _exchange(record)
        if event is None:
            return subject.written in record.value
        if subject(event):
            found.requests[event.request_id] = event.time_ms
            return True
        return False

    for topic in (REQUESTS, RESPONSES):
        found.collect(read, topic, is_exchange)
    known = {*found.requests, *filter(None, [subject.request_id])}
    for topic in (EMBEDDINGS, REMARKS, DEAD_LETTERS):
        found.collect(read, topic, lambda record: _is_about(record, subject, known))
    for topic in _NAMING:
        found.named[topic.name] = sum(_request_id(record) in known for record in read(topic))
    return found


def _exchange(record: Record) -> RequestEvent | ResponseEvent | None:
    try:
        return decode(record.value, RequestEvent, ResponseEvent)
    except DecodeError:
        return None


def _is_about(record: Record, subject: Subject, requests: Collection[str]) -> bool:
    """Return whether a vector, a remark or a dead letter is about the subject."""
    try:
        event = decode(record.value, EmbeddingEvent, Remark, DeadLetter)
    except DecodeError:
        return subject.written in record.value
    if not isinstance(event, DeadLetter):
        return event.request_id in requests
    # What could not be read is searched for the names, whatever it is.
    return subject.written in event.value or any(
        _names(event.value, request_id.encode()) or _names(event.key or b"", request_id.encode())
        for request_id in requests
    )


def _names(text: bytes, name: bytes) -> bool:
    """Return whether a text holds a name, and not only as a part of a longer one."""
    whole = rb"(?<![\w-])" + re.escape(name) + rb"(?![\w-])"
    return name in text and re.search(whole, text) is not None


def _request_id(record: Record) -> str:
    try:
        return decode(record.value, JudgmentEvent, LabelEvent).request_id
    except DecodeError:
        return ""


def _compact(settings: KafkaSettings, found: _Found) -> None:
    """Have the broker remove what has tombstones, and note what it still holds after minutes."""
    records = [item for keys in found.keys.values() for item in keys.items()]
    # The broker leaves a topic's open segment alone; one more record in a partition closes it.
    last = {(place.topic, place.partition): (place, key) for place, key in records if key}
    with erasing.compacted_at_once(settings, [ALL_TOPICS[name] for name, _ in last]):
        left = erasing.wait_until_gone(
            settings,
            [place for place, _ in records],
            _WAIT_SECONDS,
            again=lambda: erasing.write_tombstones(settings, last.values()),
        )
    found.held = {name: left & held for name, held in found.held.items()}


def _topic(topic: Topic, found: _Found, configured: Mapping[str, str], now_ms: int) -> TopicErasure:
    keys, held = found.keys[topic.name], found.held[topic.name]
    marked = found.marked[topic.name]
    compacts = "compact" in configured.get("cleanup.policy", "")
    note = ""
    if held and not configured:
        note = "the broker does not tell this topic's settings"
    elif held and not compacts:
        note = "not compacted, so that nothing is erased before its time: `tidegauge topics list`"
    elif b"" in keys.values():
        note = "records without a key are not erased before their time"
    return TopicErasure(
        topic=topic.name,
        found=len(keys),
        erased=len(marked),
        held=len(held),
        until_ms=min(_ends(found, topic, configured, now_ms), default=None),
        note=note,
    )


def _ends(found: _Found, topic: Topic, configured: Mapping[str, str], now_ms: int) -> Iterator[int]:
    """Yield when the broker removes the last record: by its age, and by its tombstone."""
    held = found.held[topic.name]
    if not held or not configured:
        return
    segment_ms, kept_ms = int(configured["segment.ms"]), int(configured["retention.ms"])
    lag_ms, policy = int(configured["max.compaction.lag.ms"]), configured["cleanup.policy"]
    if "delete" in policy and 0 <= kept_ms < _FOR_EVER_MS:
        yield found.newest_ms[topic.name] + kept_ms + segment_ms
    if "compact" in policy and held <= found.marked[topic.name] and lag_ms < _FOR_EVER_MS:
        yield now_ms + segment_ms + lag_ms
