"""What a transaction says that kafka-python ended although its records were refused."""

from __future__ import annotations

from unittest.mock import create_autospec

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import InvalidProducerEpochError
from kafka.producer.future import FutureRecordMetadata
from kafka.structs import ConsumerGroupMetadata

from tidegauge.runtime.kafka import clients
from tidegauge.runtime.kafka.committers import TransactionalCommitter
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.streaming.checkpoints import Checkpoint, EncodedRecord
from tidegauge.streaming.commits import Commit
from tidegauge.streaming.processor import Partition

OUTPUT = EncodedRecord(topic="sketches.v1", key=b"key", value=b"value", headers=())
CHECKPOINT = Checkpoint(
    owner="drift/requests.v1-0", generation=1, next_offset=7, state=b"", pending=(OUTPUT,)
)


@pytest.fixture
def committer(monkeypatch: pytest.MonkeyPatch) -> TransactionalCommitter:
    """Return a committer whose producer loses every record and commits all the same."""
    lost = create_autospec(FutureRecordMetadata, instance=True)
    lost.get.side_effect = InvalidProducerEpochError()
    producer = create_autospec(KafkaProducer, instance=True)
    producer.send.return_value = lost
    monkeypatch.setattr(clients, "producer", lambda *_, **__: producer)
    return TransactionalCommitter(KafkaSettings(bootstrap_servers="localhost:9092"), "drift")


def test_a_commit_whose_records_were_refused_has_not_succeeded(
    committer: TransactionalCommitter,
) -> None:
    commit = Commit(group="drift", checkpoints={Partition("requests.v1", 0): CHECKPOINT})
    member = ConsumerGroupMetadata("drift", 1, "member", None)
    with pytest.raises(InvalidProducerEpochError):
        committer.commit(commit, create_autospec(KafkaConsumer, instance=True), member)


def test_pending_outputs_that_were_refused_are_not_taken_for_published(
    committer: TransactionalCommitter,
) -> None:
    with pytest.raises(InvalidProducerEpochError):
        committer.resume(CHECKPOINT)
