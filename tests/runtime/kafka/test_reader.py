from __future__ import annotations

import time
from itertools import count, islice
from uuid import uuid4

import pytest
from kafka import TopicPartition

from tidegauge.runtime.brokers import Broker
from tidegauge.runtime.kafka import clients, reader
from tidegauge.runtime.kafka.errors import TopicError
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Topic
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.sketches import RecordPlace
from tidegauge.schemas.topics import EMBEDDINGS, HEARTBEATS, LABELS
from tidegauge.streaming.checkpoints import EncodedRecord


def encoded_records(topic: Topic, number: int) -> list[EncodedRecord]:
    name = uuid4().hex
    return [
        EncodedRecord(
            topic=topic.name, key=f"{name}-{i}".encode(), value=b"v%d" % i, headers=(("h", b"x"),)
        )
        for i in range(number)
    ]


def test_all_records_up_to_the_end_are_read_however_they_were_batched(
    kafka: KafkaSettings,
) -> None:
    published = encoded_records(EMBEDDINGS, 40)
    with Publisher(kafka) as publisher:
        for start in range(0, 40, 8):
            publisher.send(published[start : start + 8])
    found = {record.key: record for record in reader.read(kafka, EMBEDDINGS)}
    for encoded in published:
        assert found[encoded.key].value == encoded.value
        assert found[encoded.key].headers == encoded.headers


def test_records_of_a_partition_are_in_order(kafka: KafkaSettings) -> None:
    with Publisher(kafka) as publisher:
        publisher.send(encoded_records(EMBEDDINGS, 200))
    last: dict[int, int] = {}
    for record in reader.read(kafka, EMBEDDINGS):
        assert record.offset > last.get(record.partition.index, -1)
        last[record.partition.index] = record.offset
    assert len(last) == EMBEDDINGS.partitions


def test_a_range_of_time_is_read(kafka: KafkaSettings) -> None:
    before, inside, after = encoded_records(LABELS, 3)
    edges = []
    with Publisher(kafka) as publisher:
        for encoded in (before, inside, after):
            publisher.send([encoded])
            time.sleep(0.02)  # timestamps have milliseconds
            edges.append(time.time_ns() // 1_000_000)
            time.sleep(0.02)
    found = reader.read(kafka, LABELS, start_ms=edges[0], end_ms=edges[1])
    assert [record.key for record in found] == [inside.key]
    assert list(reader.read(kafka, LABELS, start_ms=edges[2] + 60_000)) == []


def test_some_partitions_can_be_left_out(kafka: KafkaSettings) -> None:
    with Publisher(kafka) as publisher:
        publisher.send(encoded_records(EMBEDDINGS, 50))
    found = reader.read(kafka, EMBEDDINGS, partitions=[1])
    assert {record.partition.index for record in found} == {1}


def test_following_goes_on_as_records_come(kafka: KafkaSettings) -> None:
    rounds = count()
    first, second = encoded_records(HEARTBEATS, 2)
    with Publisher(kafka) as publisher:
        publisher.send([first])
        following = reader.follow(kafka, HEARTBEATS, until=lambda: next(rounds) > 100)
        seen: list[bytes | None] = []
        for record in following:
            if record is not None:
                seen.append(record.key)
            if first.key in seen and second.key not in seen:
                publisher.send([second])
            if second.key in seen:
                break
    assert seen[-2:] == [first.key, second.key]


def test_following_from_the_end_leaves_out_what_was_there(kafka: KafkaSettings) -> None:
    old, new = encoded_records(HEARTBEATS, 2)
    with Publisher(kafka) as publisher:
        publisher.send([old])
        rounds = count()
        following = reader.follow(
            kafka, HEARTBEATS, until=lambda: next(rounds) > 100, from_beginning=False
        )
        assert next(following) is None or not kafka  # it has found its place at the end
        publisher.send([new])
        keys = [record.key for record in islice(following, 30) if record is not None]
    assert new.key in keys
    assert old.key not in keys


def test_a_missing_topic_is_named(kafka: KafkaSettings) -> None:
    with pytest.raises(TopicError, match=r"no topic nope\.v1 .* 'tidegauge topics ensure'"):
        list(reader.read(kafka, Topic("nope.v1", (Heartbeat,), "none")))


def test_single_records_are_read_and_those_that_are_gone_are_said_to_be(
    kafka: KafkaSettings,
) -> None:
    published = encoded_records(EMBEDDINGS, 60)
    with Publisher(kafka) as publisher:
        for start in range(0, 60, 20):
            publisher.send(published[start : start + 20])
    mine = {record.key for record in published}
    known = {
        RecordPlace(record.partition.topic, record.partition.index, record.offset): record.key
        for record in reader.read(kafka, EMBEDDINGS)
        if record.key in mine
    }
    wanted = sorted(known)[::7]
    nowhere = [RecordPlace(EMBEDDINGS.name, 99, 0), RecordPlace("no-such-topic", 0, 0)]
    found = reader.read_at(kafka, [*wanted, *nowhere], seconds=10)
    keys = {place: record.key for place, record in found.items() if record is not None}
    assert keys == {place: known[place] for place in wanted}
    assert [found[place] for place in nowhere] == [None, None]


def test_a_record_that_was_deleted_is_gone(kafka: KafkaSettings, apache_broker: Broker) -> None:
    del apache_broker  # the embedded broker deletes nothing
    with Publisher(kafka) as publisher:
        publisher.send(encoded_records(LABELS, 3))
    *_, before, last = (record.offset for record in reader.read(kafka, LABELS))
    partition = TopicPartition(LABELS.name, 0)
    admin = clients.admin(kafka)
    admin.delete_records({partition: last})
    admin.close()
    places = [RecordPlace(LABELS.name, 0, offset) for offset in (before, last)]
    found = reader.read_at(kafka, places, seconds=10)
    assert found[places[0]] is None
    assert found[places[1]] is not None
