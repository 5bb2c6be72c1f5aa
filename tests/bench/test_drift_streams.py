from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import drift_results
from drift_results import Row
from drift_streams import BenchPlan, draw_streams, run_ours
from drift_texts import Texts, Vectors, read_texts
from tidegauge.drift.benchmark_streams import Change

CHANGES = (Change("out_of_scope", 0.2), Change("reworded", 0.2), Change("swelling", 2.0))
PLAN = BenchPlan(baselines=2, runs=2, quiet=3, events=1_000, baseline=1_500, changes=CHANGES)


@pytest.fixture
def texts(tmp_path: Path) -> Texts:
    rows = [
        {"text": f"what about topic{i % 25} number {i}", "topic": f"t{i % 25}"}
        for i in range(4_000)
    ]
    rows += [{"text": f"none of these {i}", "topic": "oos"} for i in range(200)]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_texts(path, 0)


@pytest.fixture
def vectors(texts: Texts) -> Vectors:
    """Return a cloud for each topic, and another one for what is out of scope or reworded."""
    rng = np.random.default_rng(0)
    centres = {topic: rng.normal(size=24) for topic in [*sorted(set(texts.topics)), "reworded"]}
    topics = texts.topics + ["reworded"] * len(texts.originals)
    noise = rng.normal(size=(len(topics), 24)) * 0.5
    found = np.array([centres[topic] for topic in topics]) + noise
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def test_changes_are_found_and_quiet_streams_stay_quiet(
    texts: Texts, vectors: Vectors, tmp_path: Path
) -> None:
    drawn = draw_streams(texts, PLAN, "oos")
    found = run_ours(drawn, texts, vectors, PLAN, tmp_path, lambda _: None)
    rows = drift_results.rows(
        {drift_results.OURS: found},
        window=PLAN.window,
        guaranteed_events=PLAN.guaranteed_events,
        matched_events=PLAN.matched_events,
    )
    row: dict[tuple[str, str | None], Row] = {
        (row["metric"], row.get("change")): row
        for row in rows
        if row.get("threshold") in {None, "guaranteed 1 in 100,000"}
    }
    assert row["false alarms", "no change"]["median"] == 0
    strange = row["delay", "out of scope 20%"]
    assert 0 < strange["min"] <= strange["median"] <= strange["p90"] <= 200
    assert (strange["missed"], strange["n"]) == (0, 4)
    assert row["cost beside embedding", None]["median"] > 0
    assert 1_000 < row["state_bytes", None]["median"] < 2_000_000


def test_baselines_that_were_built_before_are_taken_again(
    texts: Texts, vectors: Vectors, tmp_path: Path
) -> None:
    drawn = draw_streams(texts, PLAN, "oos")
    first = run_ours(drawn, texts, vectors, PLAN, tmp_path, lambda _: None)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("baseline-*.npz")}
    assert len(kept) == 2
    again = run_ours(drawn, texts, vectors, PLAN, tmp_path, lambda _: None)
    assert kept == {path: path.stat().st_mtime_ns for path in tmp_path.glob("baseline-*.npz")}
    for change, paths in first.paths.items():
        for one, other in zip(paths, again.paths[change], strict=True):
            for path, same in zip(one, other, strict=True):
                np.testing.assert_array_equal(path, same)


def test_a_change_by_itself_draws_the_same_streams(texts: Texts) -> None:
    few = BenchPlan(baselines=2, runs=2, quiet=1, events=100, baseline=1_500, changes=CHANGES[1:2])
    whole = BenchPlan(baselines=2, runs=2, quiet=1, events=100, baseline=1_500, changes=CHANGES)
    for one, other in zip(
        draw_streams(texts, few, "oos"), draw_streams(texts, whole, "oos"), strict=True
    ):
        np.testing.assert_array_equal(one.shares.baseline, other.shares.baseline)
        np.testing.assert_array_equal(one.streams[CHANGES[1]], other.streams[CHANGES[1]])


def test_without_such_texts_nothing_is_out_of_scope(texts: Texts) -> None:
    drawn = draw_streams(texts, PLAN, "no such topic")
    assert CHANGES[0] not in drawn[0].streams
    assert CHANGES[1] in drawn[0].streams
