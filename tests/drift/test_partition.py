from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegauge.drift.errors import SpacingsError
from tidegauge.drift.partition import fit_bin_edges, shares_of_rest
from tidegauge.drift.vectors import assign, cells_of, margins, unit_vectors


def test_cells_are_nearly_those_of_the_nearest_centroid() -> None:
    rng = np.random.default_rng(0)
    centroids = unit_vectors(rng.normal(size=(12, 8)).astype(np.float32))
    vectors = unit_vectors(rng.normal(size=(4_000, 8)).astype(np.float32))
    nearest = assign(vectors, centroids)
    values = margins(vectors, centroids)
    bin_edges, spacings = fit_bin_edges(
        values[:2_000], shares_of_rest(np.bincount(nearest[2_000:], minlength=12))
    )
    found = cells_of(values, bin_edges)
    assert (found == nearest).mean() > 0.9
    assert spacings.sum() == pytest.approx(2_001)
    np.testing.assert_allclose(cells_of(values, np.zeros(11, np.float32)), nearest)


def test_the_chance_of_a_cell_has_the_mean_and_spread_that_its_spacings_say() -> None:
    """Whatever the events are like: here two numbers that depend on each other."""
    rng = np.random.default_rng(1)
    shares = np.array([0.3, 0.2, 0.25])

    def values(count: int) -> np.ndarray:
        one, other = rng.exponential(size=(2, count))
        return np.stack([one, one * other, other - one], axis=1).astype(np.float32)

    chances, held = [], np.zeros(4)
    for _ in range(400):
        bin_edges, held = fit_bin_edges(values(60), shares)
        cells = cells_of(values(4_000), bin_edges)
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
        bin_edges, spacings = fit_bin_edges(values, np.array([share]))
        assert (cells_of(values, bin_edges) == 1).sum() == above
        assert spacings.tolist() == [200 - above + 0.5, above + 0.5]


def test_where_all_are_copies_nothing_is_expected_beyond_them() -> None:
    values = np.ones((30, 3), np.float32)
    bin_edges, spacings = fit_bin_edges(values, np.full(3, 0.25))
    assert np.bincount(cells_of(values, bin_edges), minlength=4).tolist() == [30, 0, 0, 0]
    assert spacings.sum() == pytest.approx(31)
    assert (spacings > 0).all()


def test_the_last_cell_that_is_exceeded_counts() -> None:
    values = np.array([[0.5, -1.0], [0.5, 0.5], [-1.0, -1.0]], np.float32)
    assert cells_of(values, np.zeros(2, np.float32)).tolist() == [1, 2, 0]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    texts=st.lists(st.lists(st.integers(-2, 2), min_size=7, max_size=7), min_size=1, max_size=6),
    copies=st.lists(st.integers(1, 40), min_size=6, max_size=6),
    shares=st.lists(st.floats(0.0, 0.9), min_size=7, max_size=7),
    one_order=st.booleans(),
)
def test_spacings_are_positive_and_sum_to_all_where_every_event_is_a_copy(
    texts: list[list[int]], copies: list[int], shares: list[float], *, one_order: bool
) -> None:
    """A few texts, each asked many times, in several orders or as novelty has them: in one."""
    values = np.repeat(np.array(texts, np.float32), copies[: len(texts)], axis=0)
    if one_order:
        values = np.broadcast_to(values[:, :1], values.shape)
    values = np.concatenate([values, values[:1].repeat(8, axis=0)])  # n >= F
    bin_edges, spacings = fit_bin_edges(values, np.array(shares))
    assert (spacings > 0).all()
    assert spacings.sum() == pytest.approx(len(values) + 1, abs=1e-9)
    held = np.bincount(cells_of(values, bin_edges), minlength=8)
    # An event that is a cut itself lies in a cell before its own.
    assert (abs(spacings - held) <= len(held)).all()


def test_the_next_cell_begins_with_the_other_half_of_a_spacing() -> None:
    values = np.repeat(np.arange(4, dtype=np.float32), 10)[:, None].repeat(3, axis=1)
    bin_edges, spacings = fit_bin_edges(values, np.array([1 / 2, 1 / 3, 1 / 4]))
    assert np.bincount(cells_of(values, bin_edges), minlength=4).tolist() == [10] * 4
    assert spacings.tolist() == [10.5, 10.0, 10.0, 10.5]


def test_values_that_are_no_numbers_are_refused() -> None:
    values = np.ones((30, 3), np.float32)
    values[3, 2] = np.nan
    with pytest.raises(SpacingsError, match="cell 3 cannot be cut"):
        fit_bin_edges(values, np.full(3, 0.25))
    with pytest.raises(SpacingsError, match="its share"):
        fit_bin_edges(np.ones((30, 3), np.float32), np.array([0.1, 0.2, np.nan]))
