from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from drift_ours import Ours, watch
from tidegauge.detection.bets import place_bets
from tidegauge.detection.e_detector import judge, no_evidence, observe
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.errors import TooFewTextsError, VectorsError
from tidegauge.drift.fitting import HistoricalRequest
from tidegauge.drift.projection import EMBEDDED, cells, hits_of, project
from tidegauge.schemas import Segment

WINDOW_SECONDS, WINDOW_EVENTS = 10.0, 20
LOG_THRESHOLD = float(np.log(30 * 86_400))


def alarm_after(
    baseline: DriftBaseline, texts: list[str], vectors: NDArray[np.float32]
) -> int | None:
    """Return after how many events the detector alarms, None if it does not."""
    reference = baseline.openings.references[""]
    column = {indicator.name: j for j, indicator in enumerate(reference.indicators)}
    bets = place_bets(reference)
    evidence = no_evidence(bets)
    names = hits_of(
        baseline.openings.projection, texts, project(baseline.openings.projection, texts, vectors)
    )
    n = np.full(len(column), WINDOW_EVENTS)
    for start in range(0, len(texts) - WINDOW_EVENTS + 1, WINDOW_EVENTS):
        hits = np.zeros(len(column), np.int64)
        for found in names[start : start + WINDOW_EVENTS]:
            hits[[column[name] for name in found if name != EMBEDDED]] += 1
        evidence = observe(bets, evidence, hits, n, duration_seconds=WINDOW_SECONDS)
        if judge(bets, evidence, log_threshold=LOG_THRESHOLD).alarm:
            return start + WINDOW_EVENTS
    return None


@pytest.mark.parametrize("size", [300, 1_000])
def test_small_baselines_notice_a_shift_soon_and_nothing_before(
    world: Any,  # noqa: ANN401 - a fixture
    build: Any,  # noqa: ANN401 - a fixture
    size: int,
) -> None:
    baseline = build(*world.ask(size, range(6)))
    assert alarm_after(baseline, *world.ask(4_000, range(6))) is None
    shifted = [world.ask(400, [0, 1, 2, 3, 4, 5, 6, 6, 7, 7]) for _ in range(5)]
    delays = [alarm_after(baseline, *stream) for stream in shifted]
    found = [delay for delay in delays if delay is not None]
    assert len(found) == 5
    assert np.median(found) <= 100


def test_a_topic_that_swells_is_named(world: Any, build: Any) -> None:  # noqa: ANN401 - fixtures
    baseline = build(*world.ask(3_000, range(8)))
    texts, vectors = world.ask(2_000, [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7])
    reference = baseline.openings.references[""]
    assert alarm_after(baseline, texts, vectors) is not None
    bets = place_bets(reference)
    projected = project(baseline.openings.projection, texts, vectors)
    names = [
        name for found in hits_of(baseline.openings.projection, texts, projected) for name in found
    ]
    hits = np.array([names.count(i.name) for i in reference.indicators])
    evidence = observe(
        bets,
        no_evidence(bets),
        hits,
        np.full(len(hits), len(texts)),
        duration_seconds=WINDOW_SECONDS,
    )
    families = [indicator.family for indicator in reference.indicators]
    parts = judge(bets, evidence, log_threshold=LOG_THRESHOLD, families=families).parts
    first = next(part for part in parts if families[part.indicator] == "clusters")
    named = reference.indicators[first.indicator]
    assert first.rises
    assert set(named.title.split(", ")) & {"card", "bank", "payment", "limit", "statement"}


def test_copies_of_a_text_are_no_news(world: Any, build: Any) -> None:  # noqa: ANN401 - fixtures
    texts, vectors = world.ask(300, range(6))
    doubled = build(texts * 2, np.concatenate([vectors, vectors]))
    single = build(texts, vectors)
    assert (doubled.facts["events"], doubled.facts["texts"]) == (600, 300)
    np.testing.assert_allclose(
        doubled.openings.projection.levels[:3], single.openings.projection.levels[:3], atol=0.02
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_question_that_is_asked_again_and_again_raises_no_alarm(
    world: Any,  # noqa: ANN401 - a fixture
    build: Any,  # noqa: ANN401 - a fixture
    seed: int,
) -> None:
    """One text is a fifth of the traffic, in the baseline and after it."""
    rng = np.random.default_rng(seed)
    often, its_vector = world.ask(1, range(6))

    def traffic(count: int) -> tuple[list[str], NDArray[np.float32]]:
        texts, vectors = world.ask(count, range(6))
        again = rng.random(count) < 0.2
        return (
            [often[0] if same else text for same, text in zip(again, texts, strict=True)],
            np.where(again[:, None], its_vector, vectors),
        )

    baseline = build(*traffic(2_000))
    texts, vectors = traffic(3_000)
    path = Ours(watch(baseline, texts, vectors), WINDOW_EVENTS).path(np.arange(3_000))
    assert path.max() < LOG_THRESHOLD


def test_the_order_of_requests_does_not_change_what_is_tested(world: Any, build: Any) -> None:  # noqa: ANN401 - fixtures
    texts, vectors = world.ask(400, range(6))
    forward = build(texts, vectors)
    order = np.random.default_rng(2).permutation(400)
    mixed = build([texts[i] for i in order], vectors[order])
    np.testing.assert_allclose(
        forward.openings.projection.levels, mixed.openings.projection.levels, atol=1e-3
    )
    assert forward.openings.references[""].trials == mixed.openings.references[""].trials


def test_busy_segments_get_bands_of_their_own(world: Any, build: Any) -> None:  # noqa: ANN401 - fixtures
    texts, vectors = world.ask(1_500, range(6))
    busy = Segment(model="m", version="v1", route="/chat")
    quiet = Segment(model="m", version="v2", route="/chat")
    past = [
        HistoricalRequest(t, busy if i < 1_200 else quiet, i * 1_000) for i, t in enumerate(texts)
    ]
    baseline = build(texts, vectors, requests=past)
    assert set(baseline.openings.references) == {"", "m///", "m//%2Fchat/", "m/v1/%2Fchat/"}
    assert baseline.openings.references["m/v1/%2Fchat/"].segment == busy
    assert baseline.facts["to_ms"] == 1_499_000


def test_each_reference_has_cells_cut_by_its_own_requests(
    world: Any,  # noqa: ANN401 - a fixture
    build: Any,  # noqa: ANN401 - a fixture
) -> None:
    texts, vectors = world.ask(3_000, range(6))
    first, other = Segment(model="m"), Segment(model="other")
    past = [HistoricalRequest(t, first if i < 1_800 else other) for i, t in enumerate(texts)]
    baseline = build(texts, vectors, requests=past)
    assert (
        baseline.openings.bin_edges.keys()
        == baseline.openings.references.keys()
        == {"", "m///", "other///"}
    )
    projected = project(baseline.openings.projection, texts, vectors)
    for key, rows in (("", slice(None)), ("m///", slice(1_800)), ("other///", slice(1_800, None))):
        reference = baseline.openings.references[key]
        *topics, novelty = reference.polya_urns
        asked = reference.trials[0]  # of clusters: those that did not shape the lens
        assert [sum(urn.spacings) for urn in topics] == pytest.approx([asked + 1] * len(topics))
        assert sum(novelty.spacings) == pytest.approx(len(texts[rows]) + 1)
        assert sum(urn.share for urn in reference.polya_urns) == pytest.approx(0.6)
        found = cells(baseline.openings.projection, baseline.openings.bin_edges[key], projected)[
            rows
        ]
        for division, urn in enumerate(topics):
            counts = np.bincount(found[:, division], minlength=len(urn.spacings))
            expected = np.array(urn.spacings) / sum(urn.spacings) * len(found)
            assert abs(counts - expected).sum() < 0.2 * len(found)
            assert set(urn.labels).isdisjoint(topics[division - 1].labels) or len(topics) == 1
    assert (
        baseline.openings.bin_edges["m///"].topics.tolist()
        != baseline.openings.bin_edges["other///"].topics.tolist()
    )


def test_swings_that_the_baseline_has_seen_are_allowed_for(
    world: Any,  # noqa: ANN401 - a fixture
    build: Any,  # noqa: ANN401 - a fixture
) -> None:
    turns = [world.ask(200, range(8) if hour % 4 < 2 else range(3)) for hour in range(30)]
    texts = [text for turn, _ in turns for text in turn]
    vectors = np.concatenate([found for _, found in turns])
    hours = [HistoricalRequest(text, None, 3_600_000 * (i // 200)) for i, text in enumerate(texts)]
    swinging = build(texts, vectors, requests=hours).openings.references[""]
    calm = build(texts, vectors).openings.references[""]
    assert swinging.season == "none"
    assert all(urn.tolerance == 0 for urn in calm.polya_urns)
    assert all(urn.tolerance > 0.1 for urn in swinging.polya_urns[:-1])


def test_novelty_is_left_to_the_bands_where_there_are_seasons(
    world: Any,  # noqa: ANN401 - a fixture
    build: Any,  # noqa: ANN401 - a fixture
) -> None:
    turns = [world.ask(60, range(6) if hour % 24 < 12 else range(3)) for hour in range(87)]
    cycle = [text for turn, _ in turns for text in turn], np.concatenate([v for _, v in turns])
    steady = world.ask(87 * 60, range(6))
    found = []
    for texts, vectors in (cycle, steady):
        minutes = [HistoricalRequest(text, None, 60_000 * i) for i, text in enumerate(texts)]
        found.append(build(texts, vectors, requests=minutes).openings.references[""])
    assert [reference.season for reference in found] == ["hour-of-day", "none"]
    assert not any(urn.target for urn in found[0].polya_urns)
    assert found[1].polya_urns[-1].target


def test_text_is_kept_only_where_it_may_be(world: Any, build: Any) -> None:  # noqa: ANN401 - fixtures
    texts, vectors = world.ask(300, range(6))
    past = [HistoricalRequest(t, request_id=f"request/{i}") for i, t in enumerate(texts)]
    full = build(texts, vectors, requests=past)
    assert all(c.exemplars and c.terms for c in full.openings.clusters)
    assert not any(text.encode() in full.to_bytes() for text in texts)
    assert b"request/" in full.to_bytes()
    bare = build(texts, vectors, keep_exemplars=False)
    assert all(not c.exemplars and not c.terms for c in bare.openings.clusters)
    assert not any(text.encode() in bare.to_bytes() for text in texts)


def test_too_few_texts_are_refused(world: Any, build: Any) -> None:  # noqa: ANN401 - fixtures
    texts, vectors = world.ask(99, range(6))
    with pytest.raises(TooFewTextsError, match=r"at least 100 texts.*got 99, 99 of them.*file$"):
        build(texts, vectors)
    copies = np.arange(300) % 49
    with pytest.raises(TooFewTextsError, match=r"at least 50 of them.*got 300, 49 of them"):
        build([texts[i] for i in copies], vectors[copies])


def test_a_refusal_tells_when_there_will_be_enough(world: Any, build: Any) -> None:  # noqa: ANN401 - fixtures
    texts, vectors = world.ask(21, range(6))
    hourly = [HistoricalRequest(text, time_ms=n * 3_600_000) for n, text in enumerate(texts)]
    with pytest.raises(TooFewTextsError, match=r"as many come in 4 days$"):
        build(texts, vectors, requests=hourly)


def test_a_hundred_openings_are_a_baseline(world: Any, build: Any) -> None:  # noqa: ANN401 - fixtures
    texts, vectors = world.ask(100, range(6))
    made = build(texts, vectors)
    assert not made.openings.references[""].refused


def test_fifty_different_texts_that_come_again_and_again_are_enough(
    world: Any,  # noqa: ANN401 - a fixture
    build: Any,  # noqa: ANN401 - a fixture
) -> None:
    asked, their_vectors = world.ask(50, range(6))

    def again(count: int, strange: float = 0.0) -> tuple[list[str], NDArray[np.float32]]:
        rows = np.concatenate([np.arange(50), world.rng.integers(50, size=count - 50)])
        new_texts, new = world.ask(count, [6, 7])
        moved = world.rng.random(count) < strange
        texts = [n if m else asked[row] for m, n, row in zip(moved, new_texts, rows, strict=True)]
        return texts, np.where(moved[:, None], new, their_vectors[rows])

    baseline = build(*again(300))
    assert alarm_after(baseline, *again(4_000)) is None
    delay = alarm_after(baseline, *again(2_000, strange=0.3))
    assert delay is not None
    assert delay <= 500


def test_vectors_must_fit_the_texts(world: Any, build: Any) -> None:  # noqa: ANN401 - fixtures
    texts, vectors = world.ask(300, range(6))
    with pytest.raises(VectorsError, match="300 texts"):
        build(texts, vectors[:-1])
    broken = vectors.copy()
    broken[3, 0] = np.nan
    with pytest.raises(VectorsError, match="finite"):
        build(texts, broken)
