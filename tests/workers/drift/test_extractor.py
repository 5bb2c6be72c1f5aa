from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tidegauge.detection.indicators import count_all
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.preparation import Preparation
from tidegauge.drift.projection import EMBEDDED
from tidegauge.schemas import measures
from tidegauge.schemas.evaluations import EmbeddingEvent
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.sketches import Sketch
from tidegauge.schemas.topics import EMBEDDINGS
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.streaming.processor import Partition
from tidegauge.streaming.window import SketchOrigin, Window, WindowKey
from tidegauge.workers.drift.extractor import NO_BASELINE, TRUNCATED, DriftExtractor

PARTITION = Partition("requests.v1", 0)


def measure(extractor: DriftExtractor, *events: RequestEvent) -> Sequence[Measurement]:
    return extractor.measure(
        [(Origin("drift/requests.v1-0", PARTITION, 7 + i), event) for i, event in enumerate(events)]
    )


@pytest.fixture
def extractor(embedder: Any, baseline: DriftBaseline) -> DriftExtractor:  # noqa: ANN401 - a fixture
    made = DriftExtractor(embedder, Preparation(), window_ms=10_000)
    made.use(baseline)
    return made


def test_a_request_is_seen_from_the_baseline(extractor: DriftExtractor, ask: Any) -> None:  # noqa: ANN401 - a fixture
    (found,) = measure(extractor, ask("my card number 3"))
    assert found.baseline == "drift-1"
    assert found.hits[0] == EMBEDDED
    assert [name.split("/")[0] for name in found.hits].count("cluster") == 1
    assert {"language/en", "length/to_20"} <= set(found.hits)
    assert found.values[measures.NOVELTY] < 0.5
    assert found.exemplar is not None
    assert (found.exemplar.text, found.exemplar.customer) == ("", "acme")
    assert 0 <= found.exemplar.rank < 1


def test_every_indicator_that_is_hit_is_one_that_is_tested(
    extractor: DriftExtractor,
    baseline: DriftBaseline,
    ask: Any,  # noqa: ANN401 - a fixture
) -> None:
    names = {indicator.name for indicator in baseline.openings.references[""].indicators}
    texts = ["my card", "zebra quagga okapi", "où est le 🙂 de la", "我的卡", "x" * 3_000]
    for found in measure(extractor, *(ask(text, i) for i, text in enumerate(texts, 1))):
        assert set(found.hits) - {EMBEDDED} <= names


def test_images_and_sound_without_text_have_a_rate_of_their_own(
    extractor: DriftExtractor,
    baseline: DriftBaseline,
    ask: Any,  # noqa: ANN401 - a fixture
) -> None:
    texts = ["[image]", "[audio]\n[file]", "[image]\nwhat is in my card", "my [image] card"]
    found = measure(extractor, *(ask(text, i) for i, text in enumerate(texts, 1)))
    assert ["language/media" in one.hits for one in found] == [True, True, False, False]
    reference = baseline.openings.references[""]
    tested = {one.name: j for j, one in enumerate(reference.indicators)}["language/media"]
    assert reference.indicators[tested].title == "no text, but images, sound or files alone"
    assert reference.rate[tested] == 0
    assert reference.high[tested] < 0.2


def test_an_embedding_event_goes_out_with_it(extractor: DriftExtractor, ask: Any) -> None:  # noqa: ANN401 - a fixture
    (found,) = measure(extractor, ask("my card number 3"))
    (output,) = found.outputs
    event = output.event
    assert isinstance(event, EmbeddingEvent)
    assert (output.topic, output.key, event.baseline) == (EMBEDDINGS, "r1", "drift-1")
    assert (event.sequence, event.producer_id) == (8, "drift/requests.v1-0")
    vector = np.frombuffer(event.vector, "<f2").astype(np.float32)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-2)
    assert f"cluster/{event.cluster}" in found.hits


def test_vectors_stay_here_if_so_set(embedder: Any, baseline: DriftBaseline, ask: Any) -> None:  # noqa: ANN401 - fixtures
    extractor = DriftExtractor(embedder, Preparation(), window_ms=10_000, publish_vectors=False)
    extractor.use(baseline)
    event = measure(extractor, ask("my card"))[0].outputs[0].event
    assert isinstance(event, EmbeddingEvent)
    assert event.vector == b""


@pytest.mark.parametrize(
    ("fields", "text", "reason"),
    [
        ({"capture": "none"}, "", "not_captured"),
        ({}, "", "empty"),
        ({}, " \n ", "empty"),
        ({}, "unembeddable", "no_vector"),
    ],
)
def test_what_cannot_be_embedded_is_counted_and_asked_nothing(
    extractor: DriftExtractor,
    ask: Any,  # noqa: ANN401 - a fixture
    fields: dict[str, Any],
    text: str,
    reason: str,
) -> None:
    left_out, kept = measure(extractor, ask(text, 1, **fields), ask("my card", 2))
    assert left_out.counted
    assert (left_out.hits, left_out.outputs, left_out.exemplar) == ((), (), None)
    assert left_out.progress == {measures.skipped(reason): 1}
    assert left_out.baseline == kept.baseline
    assert EMBEDDED in kept.hits


def test_a_callers_burst_counts_as_far_as_the_cap(extractor: DriftExtractor, ask: Any) -> None:  # noqa: ANN401 - a fixture
    events = [ask("my card", i, customer="loud") for i in range(1, 9)]
    found = measure(extractor, *events, ask("my card", 9, customer="calm"))
    assert [EMBEDDED in one.hits for one in found] == [True] * 5 + [False] * 3 + [True]
    assert found[7].progress == {measures.skipped("caller_cap"): 1}


def test_a_sketch_samples_callers_with_what_their_requests_show(
    extractor: DriftExtractor,
    ask: Any,  # noqa: ANN401 - a fixture
) -> None:
    events = [
        *(ask("my card", i, customer="acme") for i in range(1, 4)),
        *(ask("zebra quagga okapi", i, customer="globex") for i in range(4, 6)),
        ask("", 6, customer="silent"),
    ]
    window = Window(0.01, 0)
    for offset, found in enumerate(measure(extractor, *events)):
        window.add(found, offset, late=False)
    key = WindowKey(0, events[0].segment, "drift-1")
    stamp = SketchOrigin("drift", "drift/requests.v1-0", PARTITION, 10_000)
    sketch = window.sketch(key, stamp, sequence=1, looked_at=())
    strange = {one.customer: "novelty/above_0.95" in one.shows for one in sketch.sample}
    assert strange == {"acme": False, "globex": True}
    assert len(sketch.sample) == sketch.hits[EMBEDDED] == 5
    assert all(one.shows[0] == EMBEDDED for one in sketch.sample)


def test_a_shadow_is_no_request(extractor: DriftExtractor, ask: Any) -> None:  # noqa: ANN401 - a fixture
    (found,) = measure(extractor, ask("my card", shadow=True))
    assert not found.counted


def test_an_enormous_prompt_is_cut_and_counted(
    extractor: DriftExtractor,
    embedder: Any,  # noqa: ANN401 - a fixture
    ask: Any,  # noqa: ANN401 - a fixture
) -> None:
    (found,) = measure(extractor, ask("word " * 100_000))
    assert found.progress == {TRUNCATED: 1}
    assert len(embedder.embedded[-1]) <= 4_000


def test_without_a_baseline_requests_are_counted_and_not_embedded(embedder: Any, ask: Any) -> None:  # noqa: ANN401 - fixtures
    extractor = DriftExtractor(embedder, Preparation(), window_ms=10_000)
    assert extractor.notices() == (NO_BASELINE,)
    (found,) = measure(extractor, ask("my card"))
    assert (found.counted, found.hits, found.baseline) == (True, (), "")
    assert embedder.embedded == []


def test_a_refused_baseline_is_a_notice(extractor: DriftExtractor, baseline: DriftBaseline) -> None:
    assert extractor.notices() == ()
    extractor.use(None, "baseline_refused:other_embedder")
    assert extractor.notices() == ("baseline_refused:other_embedder",)
    extractor.use(baseline)
    assert extractor.notices() == ()


def test_what_is_counted_has_the_baselines_trials(
    extractor: DriftExtractor,
    baseline: DriftBaseline,
    ask: Any,  # noqa: ANN401 - a fixture
) -> None:
    found = measure(extractor, ask("my card", 1), ask("", 2), ask("my bank", 3))
    hits: dict[str, int] = {}
    for one in found:
        for name in one.hits:
            hits[name] = hits.get(name, 0) + 1
    sketch = Sketch(
        kind="drift",
        producer_id="drift/requests.v1-0",
        sequence=1,
        segment=ask("x").segment,
        window_start_ms=0,
        window_ms=10_000,
        source={"topic": "t", "partition": 0, "first_offset": 0, "last_offset": 2},  # type: ignore[arg-type]
        events=3,
        hits=hits,
    )
    _, trials = count_all(baseline.openings.references[""].indicators, sketch)
    assert set(trials.tolist()) == {2}
