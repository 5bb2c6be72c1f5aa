from __future__ import annotations

import time

import pytest
from tests.workers.judge.test_qualification_run import BEFORE, qualification_run

from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.errors import LogError
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.operations import Snapshot
from tidegauge.schemas.topics import STATE
from tidegauge.streaming.processor import Output
from tidegauge.workers.judge.qualification_store import QualificationStore


def test_the_last_qualification_run_of_each_judge_is_remembered(kafka: KafkaSettings) -> None:
    memory = QualificationStore(kafka)
    judge = f"judge-{time.time_ns()}"
    memory.remember(judge, "http://a", qualification_run([0.1, None]), now_ms=1)
    memory.remember(judge, "http://a", qualification_run(BEFORE), now_ms=2)
    memory.remember(judge, "http://b", qualification_run([0.1, None]), now_ms=3)
    found = memory.recall()[judge, "specification_hash", "http://a"]
    assert found.time_ms == 2
    assert not qualification_run(BEFORE).differs(found.scores)
    assert qualification_run([value / 2 for value in BEFORE]).differs(found.scores)
    elsewhere = memory.recall()[judge, "specification_hash", "http://b"]
    assert [score.invalid for score in elsewhere.scores.values()] == [None, "stored_without_score"]


def test_what_another_version_wrote_is_left_alone(kafka: KafkaSettings) -> None:
    owner = f"judge-qualification/judge-{time.time_ns()}/specification_hash"
    alien = Snapshot(owner=owner, next_offset=0, state=b"{}")
    with Publisher(kafka) as publisher:
        publisher.publish([Output(STATE, owner, alien, "judge", "1", 1)])
    assert all(judge not in owner for judge, *_ in QualificationStore(kafka).recall())


def test_a_broker_that_is_away_costs_the_comparison_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(*_: object, **__: object) -> None:
        raise LogError("no Kafka broker answers")

    monkeypatch.setattr(reader, "read", away)
    monkeypatch.setattr(Publisher, "publish", away)
    memory = QualificationStore(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    assert memory.recall() == {}
    memory.remember("rubric", "http://a", qualification_run(BEFORE), now_ms=1)
