"""Which baseline is in force, as the log tells it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.preparation import Preparation
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.streaming.extractor import Origin
from tidegauge.streaming.processor import Partition
from tidegauge.workers.drift.extractor import DriftExtractor
from tidegauge.workers.drift.follower import BaselineFollower, refusal


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def publish(kafka: KafkaSettings, baseline: DriftBaseline, *, note: int) -> str:
    """Publish a baseline; another note makes another document of it."""
    made = replace(baseline, facts=baseline.facts | {"note": note})
    return BaselineStore(kafka).publish("drift", made.to_bytes(), made.fingerprint, made.summary())


@contextmanager
def following(
    kafka: KafkaSettings,
    embedder: Any,  # noqa: ANN401 - a fixture
    *,
    fingerprint: str = "words",
) -> Iterator[DriftExtractor]:
    extractor = DriftExtractor(embedder, Preparation(), window_ms=10_000)
    follower = BaselineFollower(kafka, extractor, embedder=fingerprint, preparation=Preparation())
    follower.start()
    deadline = time.monotonic() + 60
    assert follower.wait(lambda: time.monotonic() > deadline)
    try:
        yield extractor
    finally:
        follower.close()


def test_a_baseline_must_be_of_this_embedder_and_preparation(baseline: DriftBaseline) -> None:
    assert refusal(baseline, "words", Preparation()) is None
    assert refusal(baseline, "other", Preparation()) == "other_embedder"
    assert refusal(baseline, "words", Preparation(selection="system")) == "other_preparation"


def test_activations_are_followed(
    kafka: KafkaSettings,
    baseline: DriftBaseline,
    embedder: Any,  # noqa: ANN401 - a fixture
    ask: Any,  # noqa: ANN401 - a fixture
) -> None:
    store = BaselineStore(kafka)
    first, second = publish(kafka, baseline, note=1), publish(kafka, baseline, note=2)
    store.activate(first)
    with following(kafka, embedder) as extractor:
        assert _seen_from(extractor, ask) == first
        store.activate(second)
        until(lambda: _seen_from(extractor, ask) == second)


def test_a_baseline_of_another_embedder_is_refused_and_one_that_fits_taken_up(
    kafka: KafkaSettings,
    baseline: DriftBaseline,
    embedder: Any,  # noqa: ANN401 - a fixture
    ask: Any,  # noqa: ANN401 - a fixture
) -> None:
    store = BaselineStore(kafka)
    store.activate(publish(kafka, baseline, note=3))
    with following(kafka, embedder, fingerprint="another") as extractor:
        assert extractor.notices() == ("baseline_refused:other_embedder",)
        assert _seen_from(extractor, ask) == ""
        junk = store.publish("drift", b"junk", "f", {})
        store.activate(junk)
        until(lambda: extractor.notices() == ("baseline_refused:unreadable",))


def _seen_from(extractor: DriftExtractor, ask: Any) -> str:  # noqa: ANN401 - a fixture
    origin = Origin("drift/requests.v1-0", Partition("requests.v1", 0), 0)
    return extractor.measure([(origin, ask("my card"))])[0].baseline
