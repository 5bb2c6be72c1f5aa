"""Reading a topic without a group: a bounded range of it, or its end as it grows."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from tidegauge.reports.formatting import duration
from tidegauge.runtime.kafka import clients
from tidegauge.runtime.kafka.errors import LogUnavailableError, TopicError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.sketches import RecordPlace
from tidegauge.schemas.topics import Topic
from tidegauge.streaming.processor import Partition, Record

__all__ = ["assign", "follow", "oldest_ms", "read", "read_at", "read_to_end"]

_POLL_MS = 200
_STALLED_SECONDS = 30.0
_SINGLE_BYTES = 128 * 1024
"""Bytes asked for around a single record; the broker sends the whole of a longer one."""


def read(  # noqa: PLR0913 - which part of a topic, all by name
    settings: KafkaSettings,
    topic: Topic,
    *,
    start_ms: int | None = None,
    end_ms: int | None = None,
    partitions: Sequence[int] | None = None,
    uncommitted: bool = False,
) -> Generator[Record]:
    """Yield a topic's records, in order within each partition, up to its end as of now.

    Args:
        settings: Connection to Kafka.
        topic: The topic.
        start_ms: Leave out records with an earlier timestamp.
        end_ms: Leave out records with this timestamp or a later one.
        partitions: Partitions to read; all of them if None.
        uncommitted: Yield also records of transactions that are open or were aborted.

    Raises:
        TopicError: There is no such topic.
        LogError: The broker does not answer, or stops answering.
    """
    with (
        clients.explained(settings, f"reading {topic.name}"),
        closing(clients.consumer(settings, uncommitted=uncommitted)) as consumer,
    ):
        assigned = assign(consumer, topic, partitions)
        consumer.seek_to_beginning(*assigned)
        if start_ms is not None:
            _seek(consumer, assigned, max(0, start_ms))  # brokers refuse times before 1970
        for record in read_to_end(settings, consumer, assigned):
            early = start_ms is not None and record.timestamp_ms < start_ms
            late = end_ms is not None and record.timestamp_ms >= end_ms
            if not early and not late:
                yield record


def oldest_ms(settings: KafkaSettings, topic: Topic) -> int | None:
    """Return the timestamp of a topic's first record, None if it has none.

    Args:
        settings: Connection to Kafka.
        topic: A topic of one partition.

    Raises:
        TopicError: There is no such topic.
        LogError: The broker does not answer, or stops answering.
    """
    with closing(read(settings, topic)) as records:
        return next((record.timestamp_ms for record in records), None)


def read_at(
    settings: KafkaSettings, places: Iterable[RecordPlace], *, seconds: float
) -> dict[RecordPlace, Record | None]:
    """Return single records.

    Args:
        settings: Connection to Kafka.
        places: Where they lie.
        seconds: Longest time for reading.

    Returns:
        Place -> its record, None if the log does not hold it any more. Places that there was no
        time for are left out.

    Raises:
        LogError: The broker does not answer.
    """
    found: dict[RecordPlace, Record | None] = {}
    wanted: defaultdict[TopicPartition, list[int]] = defaultdict(list)
    for place in sorted(set(places), reverse=True):  # the next one of each partition is the last
        partition = clients.topic_partition(Partition(place.topic, place.partition))
        wanted[partition].append(place.offset)
    deadline = time.monotonic() + seconds
    with (
        clients.explained(settings, "reading single records"),
        closing(clients.consumer(settings, max_partition_fetch_bytes=_SINGLE_BYTES)) as consumer,
    ):
        known = {topic: consumer.partitions_for_topic(topic) or () for topic, _ in wanted}
        for gone in [p for p in wanted if p.partition not in known[p.topic]]:
            found |= dict.fromkeys(_places(gone, wanted.pop(gone)))
        consumer.assign(list(wanted))
        for partition, start in consumer.beginning_offsets(list(wanted)).items():
            offsets = wanted[partition]
            expired = [offset for offset in offsets if offset < start]
            found |= dict.fromkeys(_places(partition, expired))
            _next(consumer, partition, wanted, len(offsets) - len(expired))
        while wanted and time.monotonic() < deadline:
            batch: dict[TopicPartition, list[Any]] = consumer.poll(_POLL_MS)
            for partition, records in batch.items():
                if not records or not (offsets := wanted.get(partition, [])):
                    continue
                by_offset = {record.offset: record for record in records}
                passed = [offset for offset in offsets if offset <= records[-1].offset]
                for place in _places(partition, passed):
                    record = by_offset.get(place.offset)
                    found[place] = None if record is None else clients.record_of(record)
                _next(consumer, partition, wanted, len(offsets) - len(passed))
    return found


def _places(partition: TopicPartition, offsets: Iterable[int]) -> list[RecordPlace]:
    return [RecordPlace(partition.topic, partition.partition, offset) for offset in offsets]


def _next(
    consumer: KafkaConsumer,
    partition: TopicPartition,
    wanted: dict[TopicPartition, list[int]],
    left: int,
) -> None:
    """Go to the next wanted record of a partition, or leave the partition if it was the last."""
    del wanted[partition][left:]
    if left:
        consumer.seek(partition, wanted[partition][-1])
    else:
        del wanted[partition]
        consumer.pause(partition)


def read_to_end(
    settings: KafkaSettings, consumer: KafkaConsumer, assigned: Sequence[TopicPartition]
) -> Iterator[Record]:
    """Yield the records that a new, assigned consumer reads, up to the end as of now.

    The end is the end offset that the broker returns. The embedded broker returns the start of
    its last batch instead, so the first high watermark that comes with records counts, too; on
    Apache Kafka that may lie beyond the committed records, and then no further records come.

    Raises:
        LogUnavailableError: No record came for half a minute before the end.
    """
    ends: dict[TopicPartition, int] = consumer.end_offsets(assigned) if assigned else {}
    marks: dict[TopicPartition, int] = {}
    heard = time.monotonic()
    while True:
        batch: dict[TopicPartition, list[Any]] = consumer.poll(_POLL_MS) if assigned else {}
        for found, records in batch.items():
            heard = time.monotonic()
            mark = marks.setdefault(found, consumer.highwater(found) or 0)
            for record in records:
                if record.offset < max(mark, ends[found]):
                    yield clients.record_of(record)
        unread = []
        for found in assigned:
            mark = marks.get(found) or consumer.highwater(found)
            position = consumer.position(found)
            if mark is None or position < ends[found] or (batch and position < mark):
                unread.append(found)
        if not unread:
            return
        if time.monotonic() - heard > _STALLED_SECONDS:
            names = ", ".join(str(clients.partition_of(found)) for found in unread)
            raise LogUnavailableError(
                settings.bootstrap_servers,
                f"no records of {names} for {duration(_STALLED_SECONDS)}",
            )


def follow(
    settings: KafkaSettings,
    topic: Topic,
    *,
    until: Callable[[], bool],
    from_beginning: bool = True,
    start_ms: int | None = None,
) -> Iterator[Record | None]:
    """Yield a topic's records as they arrive, and None while none arrive.

    Args:
        settings: Connection to Kafka.
        topic: The topic.
        until: Returns whether to stop; called several times a second.
        from_beginning: Start at the first record, instead of at the end as of now.
        start_ms: Start at the first record of this time or later.

    Raises:
        TopicError: There is no such topic.
        LogError: The broker does not answer at the start.
    """
    with (
        clients.explained(settings, f"following {topic.name}"),
        closing(clients.consumer(settings)) as consumer,
    ):
        assigned = assign(consumer, topic)
        if from_beginning:
            consumer.seek_to_beginning(*assigned)
            if start_ms is not None:
                _seek(consumer, assigned, start_ms)
        else:
            ends = consumer.end_offsets(assigned)
            for found in assigned:
                consumer.seek(found, ends[found])
        while not until():
            batch: dict[TopicPartition, list[Any]] = consumer.poll(_POLL_MS)
            for records in batch.values():
                yield from map(clients.record_of, records)
            if not batch:
                yield None


def assign(
    consumer: KafkaConsumer, topic: Topic, partitions: Sequence[int] | None = None
) -> list[TopicPartition]:
    """Assign a topic's partitions to a consumer.

    Raises:
        TopicError: There is no such topic.
    """
    known = consumer.partitions_for_topic(topic.name)
    if not known:
        raise TopicError(
            f"there is no topic {topic.name} on this broker: run 'tidegauge topics ensure'"
        )
    wanted = sorted(known if partitions is None else known & set(partitions))
    assigned = [clients.topic_partition(Partition(topic.name, index)) for index in wanted]
    consumer.assign(assigned)
    return assigned


def _seek(consumer: KafkaConsumer, assigned: Sequence[TopicPartition], start_ms: int) -> None:
    ends = consumer.end_offsets(assigned)
    for found, place in consumer.offsets_for_times(dict.fromkeys(assigned, start_ms)).items():
        if place is None:
            consumer.seek(found, ends[found])
        elif place.timestamp >= 0:  # the embedded broker answers -1 for "none that late"
            consumer.seek(found, place.offset)
