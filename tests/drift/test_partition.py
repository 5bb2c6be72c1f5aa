from __future__ import annotations

import numpy as np
import pytest

from tidegauge.drift.partition import belonging, cells_of, cut, shares_of_rest
from tidegauge.drift.sphere import assign, on_sphere


def test_cells_are_nearly_those_of_the_nearest_centroid() -> None:
    rng = np.random.default_rng(0)
    centroids = on_sphere(rng.normal(size=(12, 8)).astype(np.float32))
    vectors = on_sphere(rng.normal(size=(4_000, 8)).astype(np.float32))
    nearest = assign(vectors, centroids)
    values = belonging(vectors, centroids)
    cuts, gaps = cut(values[:2_000], shares_of_rest(np.bincount(nearest[2_000:], minlength=12)))
    found = cells_of(values, cuts)
    assert (found == nearest).mean() > 0.9
    assert gaps.sum() == pytest.approx(2_001)
    np.testing.assert_allclose(cells_of(values, np.zeros(11, np.float32)), nearest)


def test_the_chance_of_a_cell_has_the_mean_and_spread_that_its_gaps_say() -> None:
    """Whatever the events are like: here two numbers that depend on each other."""
    rng = np.random.default_rng(1)
    shares = np.array([0.3, 0.2, 0.25])

    def values(count: int) -> np.ndarray:
        one, other = rng.exponential(size=(2, count))
        return np.stack([one, one * other, other - one], axis=1).astype(np.float32)

    chances, held = [], np.zeros(4)
    for _ in range(400):
        cuts, held = cut(values(60), shares)
        cells = cells_of(values(4_000), cuts)
        chances.append(np.bincount(cells, minlength=4) / 4_000)
    expected = held / held.sum()
    spread = np.sqrt(expected * (1 - expected) / (held.sum() + 1))
    np.testing.assert_allclose(np.mean(chances, axis=0), expected, atol=4 * spread.max() / 20)
    np.testing.assert_allclose(np.std(chances, axis=0), spread, rtol=0.15)


def test_a_cut_does_not_go_through_copies() -> None:
    rng = np.random.default_rng(2)
    ordered = np.concatenate([rng.uniform(0, 1, 50), np.full(100, 2.0), rng.uniform(3, 4, 50)])
    values = rng.permutation(ordered)[:, None].astype(np.float32)
    for share, above in ((0.3, 50), (0.6, 150)):
        cuts, gaps = cut(values, np.array([share]))
        assert (cells_of(values, cuts) == 1).sum() == above
        assert gaps.tolist() == [200 - above + 0.5, above + 0.5]


def test_where_all_are_copies_nothing_is_expected_beyond_them() -> None:
    values = np.ones((30, 3), np.float32)
    cuts, gaps = cut(values, np.full(3, 0.25))
    assert np.bincount(cells_of(values, cuts), minlength=4).tolist() == [30, 0, 0, 0]
    assert gaps.sum() == pytest.approx(31)
    assert (gaps > 0).all()


def test_the_last_cell_that_is_exceeded_counts() -> None:
    values = np.array([[0.5, -1.0], [0.5, 0.5], [-1.0, -1.0]], np.float32)
    assert cells_of(values, np.zeros(2, np.float32)).tolist() == [1, 2, 0]
