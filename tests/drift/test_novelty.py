from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.drift.codebook import fit_codebook
from tidegauge.drift.novelty import NEIGHBOURS, ReferencePoints, index_points, novelty
from tidegauge.drift.vectors import unit_vectors

Vectors = NDArray[np.float32]


def placed(vectors: Vectors, clusters: int = 1) -> ReferencePoints:
    return index_points(vectors, fit_codebook(vectors, clusters, np.random.default_rng(1)))[0]


def test_a_topic_that_was_not_there_is_stranger(world: Any) -> None:  # noqa: ANN401 - a fixture
    _, points = world.ask(1_000, range(6))
    _, known = world.ask(300, range(6))
    _, new = world.ask(300, [6, 7])
    assert np.quantile(novelty(new, placed(points)), 0.05) > np.quantile(
        novelty(known, placed(points)), 0.95
    )


def test_a_text_is_not_measured_against_itself_or_its_copies() -> None:
    points = np.eye(8, dtype=np.float32)
    texts = np.arange(8)[:, None]
    # Five others at distance 1, from which half of their own spread, 1, is taken off.
    own = novelty(points, placed(points), own=texts, owners=texts)
    np.testing.assert_allclose(own, 0.5)
    assert novelty(points, placed(points))[0] == pytest.approx(1 - 1 / NEIGHBOURS - 0.5)


def test_a_wide_topic_is_less_strange_than_its_distances() -> None:
    rng = np.random.default_rng(2)

    def around(axis: int, spread: float, count: int) -> Vectors:
        return unit_vectors(np.eye(32, dtype=np.float32)[axis] + rng.normal(0, spread, (count, 32)))

    points = placed(np.concatenate([around(0, 0.02, 200), around(1, 0.1, 200)]), 2)
    tight, wide = novelty(around(0, 0.02, 100), points), novelty(around(1, 0.1, 100), points)
    stranger = novelty(around(0, 0.1, 100), points)
    assert np.median(stranger) > np.median(wide) > np.median(tight)


def test_the_batch_that_a_text_is_in_does_not_matter(world: Any) -> None:  # noqa: ANN401 - a fixture
    _, points = world.ask(400, range(8))
    _, vectors = world.ask(700, range(8))
    kept = placed(points, 8)
    whole = novelty(vectors, kept)
    single = np.concatenate([novelty(vector[None], kept) for vector in vectors[:50]])
    np.testing.assert_allclose(whole[:50], single, atol=1e-6)


def test_nothing_has_no_novelty() -> None:
    assert novelty(np.zeros((0, 3), np.float32), placed(np.eye(3, dtype=np.float32))).shape == (0,)


def test_looking_near_only_finds_nearly_what_looking_everywhere_does(world: Any) -> None:  # noqa: ANN401 - a fixture
    _, points = world.ask(2_000, range(8))
    _, vectors = world.ask(300, range(8))
    everywhere, near = novelty(vectors, placed(points)), novelty(vectors, placed(points, 32))
    assert np.abs(np.median(near - everywhere)) < 0.02
    assert np.corrcoef(near, everywhere)[0, 1] > 0.95
