"""Brokers and what has arrived there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic

from tidegauge.capture.testing import EXCHANGES, Landed
from tidegauge.runtime.brokers import ApacheBroker, Broker, EmbeddedBroker
from tidegauge.schemas.topics import HEARTBEATS, REQUESTS, RESPONSES

Look = Callable[[Broker, str], Landed]


def make_topics(broker: Broker) -> None:
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        admin.create_topics(
            [
                # The tests' events are old: a broker must not delete them for it.
                NewTopic(topic.name, topic.partitions, 1, topic_configs={"retention.ms": "-1"})
                for topic in (REQUESTS, RESPONSES, HEARTBEATS)
            ]
        )
    finally:
        admin.close()


@pytest.fixture(scope="session")
def broker_kind() -> type[Broker]:
    """Apache Kafka where there is one, else the embedded broker."""
    return EmbeddedBroker if ApacheBroker.missing() else ApacheBroker


@pytest.fixture(scope="module")
def standing_broker(broker_kind: type[Broker]) -> Iterator[Broker]:
    """A broker with the topics, for tests that leave it alone."""
    with broker_kind() as broker:
        make_topics(broker)
        yield broker


@pytest.fixture
def absent_broker(broker_kind: type[Broker]) -> Iterator[Broker]:
    """A broker that a test starts and stops itself."""
    broker = broker_kind()
    yield broker
    broker.close()


@pytest.fixture
def topics() -> Callable[[Broker], None]:
    """Make the topics on a broker."""
    return make_topics


@pytest.fixture
def look() -> Look:
    """Read what has arrived of one producer."""
    topics = (*EXCHANGES, HEARTBEATS.name)
    return lambda broker, producer_id: Landed(
        {topic: records_of(broker, topic, producer_id) for topic in topics}
    )


def records_of(broker: Broker, topic: str, producer_id: str) -> list[Any]:
    """Read one producer's records of a topic, in order within each partition."""
    consumer = KafkaConsumer(
        bootstrap_servers=broker.bootstrap_servers,
        group_id=None,
        auto_offset_reset="earliest",  # never pass over anything, whatever a fetch meets
    )
    try:
        partitions = [
            TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)
        ]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        found = []
        # The embedded broker calls the last batch's first record the end; the high watermark
        # that comes with the batch lies behind all of it.
        while any(
            consumer.position(part) < max(ends[part], consumer.highwater(part) or 0)
            for part in partitions
        ):
            for records in consumer.poll(1000).values():
                found += records
    finally:
        consumer.close()
    source = ("ce_source", producer_id.encode())
    return [record for record in found if source in record.headers]
