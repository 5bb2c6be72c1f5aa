from __future__ import annotations

from typing import Any

import numpy as np

from tidegauge.drift.codebook import cluster_count, fit_codebook
from tidegauge.drift.vectors import assign


def test_topics_that_lie_apart_become_clusters(world: Any) -> None:  # noqa: ANN401 - a fixture
    world.spread = 0.3
    _, vectors = world.ask(800, range(8))
    centroids = fit_codebook(vectors, 8, np.random.default_rng(1))
    closeness = (centroids @ world.centres.T).max(axis=1)
    assert closeness.min() > 0.95
    assert len(set(np.argmax(centroids @ world.centres.T, axis=1).tolist())) == 8


def test_centroids_are_unit_vectors_and_repeatable(world: Any) -> None:  # noqa: ANN401 - a fixture
    _, vectors = world.ask(300, range(8))
    once = fit_codebook(vectors, 6, np.random.default_rng(1))
    again = fit_codebook(vectors, 6, np.random.default_rng(1))
    np.testing.assert_array_equal(once, again)
    np.testing.assert_allclose(np.linalg.norm(once, axis=1), 1, atol=1e-5)


def test_copies_of_one_text_do_not_break_it() -> None:
    vectors = np.tile(np.eye(4, dtype=np.float32)[:2], (50, 1))
    centroids = fit_codebook(vectors, 5, np.random.default_rng(1))
    assert np.isfinite(centroids).all()
    assert len(set(assign(vectors, centroids).tolist())) == 2


def test_small_baselines_get_few_clusters() -> None:
    assert [cluster_count(n) for n in (100, 600, 4_000, 100_000)] == [4, 15, 64, 64]
