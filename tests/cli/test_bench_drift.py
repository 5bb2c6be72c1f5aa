from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.cli import bench_drift
from tidegauge.cli.errors import PastRequestsError

PLAN = bench_drift.Plan(runs=3, quiet=5, events=1_000, baseline=1_500)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        {"text": f"what about topic{i % 25} number {i}", "topic": f"t{i % 25}"}
        for i in range(4_000)
    ]
    rows += [{"text": f"none of these {i}", "topic": "oos"} for i in range(200)]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def vectors_of(texts: bench_drift.Texts) -> NDArray[np.float32]:
    """Return a cloud for each topic, and another one for what is out of scope or reworded."""
    rng = np.random.default_rng(0)
    centres = {topic: rng.normal(size=24) for topic in [*sorted(set(texts.topics)), "reworded"]}
    topics = texts.topics + ["reworded"] * len(texts.reworded)
    noise = rng.normal(size=(len(topics), 24)) * 0.5
    vectors = np.array([centres[topic] for topic in topics]) + noise
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_changes_are_found_and_quiet_streams_stay_quiet(data: Path, tmp_path: Path) -> None:
    texts = bench_drift.read_texts(data, 0)
    rows = bench_drift.run(
        texts,
        vectors_of(texts),
        PLAN,
        out_of_scope="oos",
        peers=(),
        folder=tmp_path,
        say=lambda _: None,
    )
    found: dict[str, Any] = {row["metric"]: row for row in rows}
    guaranteed = "at a guaranteed false alarm in 100,000 events"
    assert found[f"false alarms, share of streams, {guaranteed}"]["median"] == 0
    assert found[f"delay, out of scope 20%, {guaranteed}"]["median"] <= 200
    assert found[f"missed share, out of scope 20%, {guaranteed}"]["median"] == 0
    assert found["cost beside embedding"]["median"] > 0


def test_vectors_are_computed_once(data: Path, tmp_path: Path) -> None:
    texts = bench_drift.read_texts(data, 0)
    made = vectors_of(texts)
    first = bench_drift.with_vectors(texts, lambda _: made, tmp_path)

    def never(_texts: list[str]) -> NDArray[np.float32]:
        pytest.fail("they were computed before")

    again = bench_drift.with_vectors(texts, never, tmp_path)
    np.testing.assert_allclose(first, again, atol=1e-3)


def test_a_line_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": 3}\n')
    with pytest.raises(PastRequestsError, match="a line is"):
        bench_drift.read_texts(path, 0)
    with pytest.raises(PastRequestsError, match="cannot read"):
        bench_drift.read_texts(tmp_path / "absent.jsonl", 0)
