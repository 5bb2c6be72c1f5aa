from __future__ import annotations

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from tidegauge.runtime.brokers import Broker, EmbeddedBroker
from tidegauge.runtime.kafka import admin, clients
from tidegauge.runtime.kafka.errors import LogUnavailableError, TopicError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.kafka.transactions import transactions_hide_aborts
from tidegauge.schemas.topics import ALL_TOPICS, REQUESTS, SKETCHES, STATE


def test_every_topic_is_there_with_its_partitions(kafka: KafkaSettings) -> None:
    states = admin.list_topics(kafka)
    assert {state.topic.name: state.partitions for state in states} == {
        topic.name: topic.partitions for topic in ALL_TOPICS.values()
    }


def test_what_is_there_stays_as_it_is(kafka: KafkaSettings) -> None:
    assert admin.ensure_topics(kafka) == ()


def test_compaction_and_the_brokers_clock_are_asked_for(apache_broker: Broker) -> None:
    settings = KafkaSettings(bootstrap_servers=apache_broker.bootstrap_servers)
    found = {}
    client = clients.admin(settings)
    try:
        for name in (STATE.name, REQUESTS.name):
            resource = ConfigResource(ConfigResourceType.TOPIC, name)
            found[name] = client.describe_configs([resource])
    finally:
        client.close()
    assert "compact" in str(found[STATE.name])
    assert "LogAppendTime" in str(found[REQUESTS.name])


def test_sketches_spread_over_partitions_are_refused(embedded_broker: Broker) -> None:
    del embedded_broker  # asked for so that the test is skipped where there is none
    with EmbeddedBroker() as broker:
        settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        client = clients.admin(settings)
        try:
            client.create_topics({SKETCHES.name: {"num_partitions": 3, "replication_factor": 1}})
        finally:
            client.close()
        with pytest.raises(TopicError, match=r"sketches\.v1 has 3 partitions and must have one"):
            admin.ensure_topics(settings)


def test_the_brokers_differ_in_what_they_hide(broker: Broker, kafka: KafkaSettings) -> None:
    assert transactions_hide_aborts(kafka) == broker.transactional


def test_without_a_broker_the_address_is_named() -> None:
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", bootstrap_timeout_ms=500)
    with pytest.raises(LogUnavailableError, match=r"no Kafka broker answers at 127\.0\.0\.1:1"):
        admin.list_topics(settings)
