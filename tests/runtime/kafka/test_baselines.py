from __future__ import annotations

import random
from uuid import uuid4

import pytest

from tidegauge.runtime.kafka.baselines import PART_BYTES, BaselineStore
from tidegauge.runtime.kafka.errors import (
    BaselineCorruptError,
    BaselineDroppedError,
    LogUnavailableError,
    UnknownBaselineError,
)
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import encode
from tidegauge.schemas.operations import BaselineChunk
from tidegauge.schemas.topics import BASELINES
from tidegauge.streaming.checkpoints import EncodedRecord


def unique(size: int = 100) -> bytes:
    return uuid4().bytes + random.Random(1).randbytes(size)  # noqa: S311 - a fixed seed


def test_a_baseline_comes_back_as_it_was(kafka: KafkaSettings) -> None:
    store, document = BaselineStore(kafka, now_ms=lambda: 7), unique()
    baseline_id = store.publish("drift", document, "embedder-1", {"events": "100"})
    assert store.load(baseline_id) == document
    (manifest,) = [found for found in store.list() if found.baseline_id == baseline_id]
    assert (manifest.kind, manifest.fingerprint, manifest.created_ms) == ("drift", "embedder-1", 7)
    assert manifest.summary == {"events": "100"}


def test_a_large_baseline_lies_in_parts(kafka: KafkaSettings) -> None:
    store, document = BaselineStore(kafka), unique(3 * PART_BYTES)
    baseline_id = store.publish("drift", document, "embedder-1", {})
    (manifest,) = [found for found in store.list() if found.baseline_id == baseline_id]
    assert manifest.parts == 4
    assert store.load(baseline_id) == document


def test_the_same_contents_have_the_same_id(kafka: KafkaSettings) -> None:
    store, document = BaselineStore(kafka), unique()
    first = store.publish("rates", document, "f", {})
    assert store.publish("rates", document, "f", {}) == first
    assert [found.baseline_id for found in store.list()].count(first) == 1


def test_the_last_activation_of_a_kind_is_in_force(kafka: KafkaSettings) -> None:
    store = BaselineStore(kafka)
    first, second = (store.publish("rates", unique(), "f", {}) for _ in range(2))
    other = store.publish("drift", unique(), "f", {})
    for baseline_id in (first, other, second):
        assert store.activate(baseline_id).baseline_id == baseline_id
    assert store.active("rates") == second
    assert store.active("drift") == other


def test_a_dropped_baseline_is_known_and_no_longer_kept(kafka: KafkaSettings) -> None:
    store = BaselineStore(kafka)
    document = unique(2 * PART_BYTES)
    dropped, other = (
        store.publish("rates", document, "f", {}),
        store.publish("rates", b"o", "f", {}),
    )
    store.drop([dropped])
    manifests = {one.baseline_id: one for one in store.list()}
    assert manifests[dropped].dropped_ms is not None
    assert manifests[other].dropped_ms is None
    for refused in (store.load, store.activate):
        with pytest.raises(BaselineDroppedError, match="no longer kept: a longer one replaced it"):
            refused(dropped)
    assert not any(name.startswith(f"{dropped}/") for name in store._latest())
    assert store.load(other) == b"o"
    assert store.publish("rates", document, "f", {}) == dropped
    assert store.load(dropped) == document, "it was built again"


def test_an_unknown_baseline_is_named_with_the_known_ones(kafka: KafkaSettings) -> None:
    store = BaselineStore(kafka)
    known = store.publish("rates", unique(), "f", {})
    with pytest.raises(UnknownBaselineError, match=rf"'rates-nope'; known: .*{known}"):
        store.load("rates-nope")
    with pytest.raises(UnknownBaselineError):
        store.activate("rates-nope")


def test_a_part_that_was_changed_is_noticed(kafka: KafkaSettings) -> None:
    store = BaselineStore(kafka)
    baseline_id = store.publish("rates", unique(), "f", {})
    forged = encode(BaselineChunk(baseline_id=baseline_id, part=0, payload=b"other"))
    with Publisher(kafka) as publisher:
        publisher.send(
            [EncodedRecord(topic=BASELINES.name, key=f"{baseline_id}/0".encode(), value=forged)]
        )
    with pytest.raises(BaselineCorruptError, match=r"SHA-256 .* build it again"):
        store.load(baseline_id)


def test_without_a_broker_the_address_is_named() -> None:
    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1", bootstrap_timeout_ms=500)
    with pytest.raises(LogUnavailableError, match=r"127\.0\.0\.1:1 .*set KAFKA_BOOTSTRAP_SERVERS"):
        BaselineStore(settings).list()
