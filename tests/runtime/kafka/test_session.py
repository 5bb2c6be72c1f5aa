"""What a membership does when kafka-python does not come back, or Kafka refuses."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event
from typing import Any
from unittest.mock import Mock, create_autospec
from uuid import UUID

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.cluster import ClusterMetadata
from kafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError
from prometheus_client import REGISTRY
from tests.streaming.lengths import LengthExtractor, request

from tidegauge.runtime.kafka import positions, session
from tidegauge.runtime.kafka.committers import WriteAheadCommitter
from tidegauge.runtime.kafka.errors import ClientHungError, KafkaRefusedError
from tidegauge.runtime.kafka.serial_executor import SerialExecutor
from tidegauge.runtime.kafka.state_recovery import StateRecovery
from tidegauge.schemas import encode
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.sketches import RecordPlace
from tidegauge.streaming.commits import CommitPolicy
from tidegauge.streaming.processor import Partition, Record
from tidegauge.streaming.sketching import SketchingProcessor

PARTITION = Partition("requests.v1", 0)


def read_at(_places: object) -> dict[RecordPlace, Record | None]:
    return {}


def membership(
    consumer: Any,  # noqa: ANN401 - kafka-python has no types
    *,
    committer: Any = None,  # noqa: ANN401 - a fake
    extractor: LengthExtractor | None = None,
) -> session.Session:
    """Return a session that holds a partition."""
    found = session.Session(
        consumer=consumer,
        committer=committer or create_autospec(WriteAheadCommitter, instance=True),
        recovery=create_autospec(StateRecovery, instance=True),
        positions=positions.Positions(consumer, "drift", read_at),
        executor=SerialExecutor("work"),
        processor=SketchingProcessor(extractor or LengthExtractor(), "drift"),
        group="drift",
        policy=CommitPolicy(interval_ms=0),
        now_ms=lambda: 1_000,
        handover_seconds=5,
        takeover_seconds=5,
        stop=Event(),
    )
    found._worker.assign(PARTITION, None, 0)
    return found


def records(*sequences: int) -> list[Record]:
    return [
        Record(PARTITION, sequence - 1, encode(request(sequence, time_ms=1_000)))
        for sequence in sequences
    ]


def test_a_client_that_forgets_who_waits_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(positions, "_ANSWER_SECONDS", 0.2)
    over = Event()
    consumer: Any = create_autospec(KafkaConsumer, instance=True)
    consumer.end_offsets.side_effect = lambda *_args, **_options: over.wait()
    found = membership(consumer)
    try:
        with pytest.raises(ClientHungError, match="connecting anew"):
            found.tick().result(10)
    finally:
        over.set()
        assert found.close(5)


def test_a_commit_that_is_refused_for_good_is_not_retried() -> None:
    committer: Any = create_autospec(WriteAheadCommitter, instance=True)
    committer.commit.side_effect = TopicAuthorizationFailedError("dead-letters.v1")
    found = membership(create_autospec(KafkaConsumer, instance=True), committer=committer)
    try:
        with pytest.raises(KafkaRefusedError, match="grant this client access"):
            found.process(records(1)).result(10)
        assert committer.commit.call_count == 1
    finally:
        assert found.close(5)


def test_it_works_once_a_batch_is_processed_and_not_while_one_is_tried_again() -> None:
    tried, go_on = Event(), Event()

    def away(_events: Sequence[RequestEvent]) -> None:
        if not go_on.is_set():
            tried.set()
            raise ConnectionError("the service is away")

    consumer: Any = create_autospec(KafkaConsumer, instance=True)
    found = membership(consumer, extractor=LengthExtractor(away))
    try:
        assert not found.working
        job = found.process(records(1))
        assert tried.wait(10)
        assert not found.working
        go_on.set()
        job.result(10)
        assert found.working
    finally:
        assert found.close(5)


@pytest.mark.parametrize(
    ("end", "high", "closes"), [(5, 5, True), (5, 9, False), (9, 9, False), (3, 5, True)]
)
def test_silence_is_only_where_nothing_waits_not_even_behind_an_open_transaction(
    monkeypatch: pytest.MonkeyPatch, end: int, high: int, *, closes: bool
) -> None:
    """An embedded broker returns an end before the last records (3): read up to 5, none wait."""
    place = TopicPartition(PARTITION.topic, PARTITION.index)
    consumer: Any = create_autospec(KafkaConsumer, instance=True)
    consumer.end_offsets.return_value = {place: end}
    consumer.position.return_value = 5
    consumer.highwater.return_value = high
    found = membership(consumer)
    silent: list[int] = []
    monkeypatch.setattr(
        found._worker, "caught_up", lambda _partition, now_ms: silent.append(now_ms)
    )
    try:
        found.tick().result(10)
        assert bool(silent) == closes
    finally:
        assert found.close(5)


def test_dead_letters_are_counted_by_their_reason() -> None:
    found = membership(create_autospec(KafkaConsumer, instance=True))
    try:
        found.process([Record(PARTITION, 0, b""), Record(PARTITION, 1, b"{}")]).result(10)
        for reason in ("empty", "unknown_type"):
            labels = {"group": "drift", "reason": reason}
            assert REGISTRY.get_sample_value("tidegauge_loop_dead_letters_total", labels) == 1
    finally:
        assert found.close(5)


def test_a_topic_of_another_id_is_begun_at_its_start_before_its_records_are_counted() -> None:
    before, now = UUID(int=1), UUID(int=2)
    place = TopicPartition(PARTITION.topic, PARTITION.index)
    consumer: Any = create_autospec(KafkaConsumer, instance=True)
    consumer.beginning_offsets.return_value = {place: 0}
    consumer._cluster = Mock(spec_set=ClusterMetadata)
    consumer._cluster.topic_id.return_value = before
    found = membership(consumer)
    found._worker.assign(PARTITION, None, 0, str(before))
    try:
        found.process(records(1, 2)).result(10)
        assert found._worker.position(PARTITION) == 2
        consumer._cluster.topic_id.return_value = now
        found.process(records(3)).result(10)
        assert found._worker.position(PARTITION) == 0
        consumer.seek.assert_called_once_with(place, 0)
        found.process(records(1)).result(10)
        assert found._worker.position(PARTITION) == 1
    finally:
        assert found.close(5)


def test_a_broker_that_does_not_answer_is_no_work_done() -> None:
    consumer: Any = create_autospec(KafkaConsumer, instance=True)
    consumer.end_offsets.side_effect = KafkaTimeoutError("no answer")
    found = membership(consumer)
    try:
        found.process(records(1)).result(10)
        found.tick().result(10)
        assert not found.working
    finally:
        assert found.close(5)
