from __future__ import annotations

from contextlib import closing
from uuid import uuid4

import pytest
from kafka import codec
from kafka.admin import NewTopic

from tidegauge.cli.check import Check
from tidegauge.cli.doctor_kafka import kafka_checks
from tidegauge.runtime.brokers import ApacheBroker, Broker
from tidegauge.runtime.kafka import clients
from tidegauge.runtime.kafka.admin import ensure_topics, list_topics
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.topics import REQUESTS, STATE, UPSTREAMS


def test_without_a_broker_only_the_compressions_are_told() -> None:
    (check,) = kafka_checks({})
    assert check == Check(what="compressions", level="ok", found="gzip, snappy, lz4, zstd")


def test_a_compression_that_cannot_be_read_names_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codec, "snappy", None)
    (check,) = kafka_checks({})
    assert check.level == "bad"
    assert check.found == "gzip, lz4, zstd"
    assert check.remedy == "pip install python-snappy, to read snappy"


def test_an_address_where_no_broker_answers_is_told() -> None:
    found = list(kafka_checks({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}))
    assert found[1].level == "bad"
    assert found[1].found == "127.0.0.1:1 does not answer (Connection refused)"
    assert "KAFKA_BOOTSTRAP_SERVERS" in found[1].remedy


@pytest.mark.integration
def test_topics_that_were_made_with_other_settings_are_told_and_left() -> None:
    if lack := ApacheBroker.missing():
        pytest.skip(lack)
    with ApacheBroker() as broker:
        settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        environment = {"KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers}
        theirs = {
            STATE.name: {"cleanup.policy": "delete", "max.message.bytes": "100000"},
            REQUESTS.name: {
                "message.timestamp.type": "CreateTime",
                "retention.ms": "3600000",
                "cleanup.policy": "compact,delete",
            },
        }
        client = clients.admin(settings)
        try:
            client.create_topics(
                [NewTopic(name, 1, 1, topic_configs=found) for name, found in theirs.items()]
            )
        finally:
            client.close()
        missing = {check.what: check for check in kafka_checks(environment)}["topics"]
        assert missing.level == "absent"
        ensure_topics(settings)
        found = {
            (difference.topic, difference.setting): (difference.theirs, difference.ours)
            for state in list_topics(settings)
            for difference in state.differences
        }
        assert found == {
            (STATE.name, "cleanup.policy"): ("delete", "compact"),
            (STATE.name, "max.message.bytes"): ("100000", "1048588"),
            (REQUESTS.name, "message.timestamp.type"): ("CreateTime", "LogAppendTime"),
            (STATE.name, "max.compaction.lag.ms"): (str(2**63 - 1), "3600000"),
            (REQUESTS.name, "retention.ms"): ("3600000", "604800000"),
            (REQUESTS.name, "segment.ms"): ("604800000", "86400000"),
            (REQUESTS.name, "max.compaction.lag.ms"): (str(2**63 - 1), "86400000"),
        }
        wrong = [check for check in kafka_checks(environment) if "kafka-configs.sh" in check.remedy]
        assert [check.level for check in wrong].count("bad") == 2
        assert [check.level for check in wrong].count("warning") == 5


@pytest.mark.integration
def test_a_transaction_that_does_not_end_is_told_with_its_place(apache_broker: Broker) -> None:
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": apache_broker.bootstrap_servers,
        "TIDEGAUGE_KAFKA_TRANSACTION_TIMEOUT_MS": "1000",
    }
    settings = KafkaSettings(bootstrap_servers=apache_broker.bootstrap_servers)
    ensure_topics(settings)
    with closing(clients.producer(settings, transactional_id=uuid4().hex)) as forgotten:
        forgotten.init_transactions()
        forgotten.begin_transaction()
        place = forgotten.send(UPSTREAMS.name, b"", key=b"nobody").get(10)
        (stuck,) = (check for check in kafka_checks(environment) if "does not end" in check.found)
        forgotten.abort_transaction()
    assert stuck.level == "bad"
    assert f"record {place.offset} of partition {place.partition} " in stuck.found
    assert f"--topic {UPSTREAMS.name} --partition {place.partition}" in stuck.remedy
    assert f"--start-offset {place.offset}" in stuck.remedy
    assert not any("does not end" in check.found for check in kafka_checks(environment))
