from __future__ import annotations

from uuid import uuid4

import pytest

from tidegauge.runtime.brokers import Broker, EmbeddedBroker
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.admin import ensure_topics
from tidegauge.runtime.kafka.errors import LogError
from tidegauge.runtime.kafka.partitioning import partition_of
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import decode
from tidegauge.schemas.evaluations import LabelEvent
from tidegauge.schemas.topics import EMBEDDINGS, LABELS
from tidegauge.streaming.checkpoints import EncodedRecord
from tidegauge.streaming.processor import Output


def label(request_id: str) -> Output:
    return Output(
        topic=LABELS,
        key=request_id,
        event=LabelEvent(request_id=request_id, time_ms=5_000, annotator="ann", score=1.0),
        source="tests",
        event_id=f"label-{request_id}",
        time_ms=5_000,
    )


def test_an_event_arrives_with_its_cloudevents_headers(kafka: KafkaSettings) -> None:
    request_id = uuid4().hex
    with Publisher(kafka) as publisher:
        publisher.publish([label(request_id)])
    (record,) = [found for found in reader.read(kafka, LABELS) if found.key == request_id.encode()]
    assert decode(record.value, LabelEvent).request_id == request_id
    headers = dict(record.headers)
    assert headers["ce_id"] == f"label-{request_id}".encode()
    assert headers["ce_type"] == b"tidegauge.label"
    assert headers["ce_source"] == b"tests"
    assert headers["ce_time"] == b"1970-01-01T00:00:05.000Z"


def test_records_of_one_group_meet_in_the_partition_that_the_shipper_chooses(
    kafka: KafkaSettings,
) -> None:
    group = uuid4().hex
    keys = [f"{group}\n{number}".encode() for number in range(8)]
    with Publisher(kafka) as publisher:
        publisher.send(
            [EncodedRecord(topic=EMBEDDINGS.name, key=key, value=b"v", headers=()) for key in keys]
        )
    found = {each.partition.index for each in reader.read(kafka, EMBEDDINGS) if each.key in keys}
    assert found == {partition_of(group.encode(), EMBEDDINGS.partitions)}


def test_without_a_broker_it_says_so() -> None:
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", bootstrap_timeout_ms=500)
    with Publisher(settings) as publisher, pytest.raises(LogError, match=r"127\.0\.0\.1:1"):
        publisher.publish([label("a")])


def test_a_broker_that_forgot_everything_is_published_to_again(embedded_broker: Broker) -> None:
    del embedded_broker  # asked for so that the test is skipped where there is none
    with EmbeddedBroker() as broker:
        settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        ensure_topics(settings)
        with Publisher(settings) as publisher:
            publisher.send([EncodedRecord(topic=LABELS.name, key=b"a", value=b"1")])
            broker.kill()
            broker.start()
            ensure_topics(settings)
            for _ in range(3):
                try:
                    publisher.send([EncodedRecord(topic=LABELS.name, key=b"b", value=b"2")])
                    break
                except LogError:
                    continue
        assert [record.key for record in reader.read(settings, LABELS)] == [b"b"]
