from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.monitoring.rate_references import common_shift, relative_change
from tidegauge.monitoring.strata_cuts import (
    bound_rank,
    bucket_at_rank,
    edges,
    group_strata,
    quantile_bucket,
)
from tidegauge.streaming import histogram


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_quantiles_bucket_holds_at_least_its_share(values: list[float], level: float) -> None:
    whole = histogram.add(histogram.empty(), values)
    bucket = quantile_bucket(whole, level)
    assert histogram.count_below(whole, bucket) >= level * len(values) - 1e-9
    assert histogram.count_below(whole, bucket - 1) < level * len(values) + 1e-9


def test_a_rank_beyond_the_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="rank 3 of 2"):
        bucket_at_rank(histogram.add(histogram.empty(), [1.0, 2.0]), 3)


@pytest.mark.parametrize("n", [120, 400])
def test_the_bound_of_a_quantile_holds_as_often_as_promised(n: int) -> None:
    rng = np.random.default_rng(3)
    rank = bound_rank(n, 0.95)
    assert rank is not None
    bounds = np.sort(rng.random((4_000, n)), axis=1)[:, rank - 1]
    assert (bounds < 0.95).mean() <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / 4_000)


def test_a_small_baseline_bounds_a_lower_quantile() -> None:
    values = histogram.add(histogram.empty(), [float(v) for v in range(1, 61)])
    groups = group_strata({"0/0/0/0": values})
    assert edges(groups, 0.95) is None
    found = edges(groups, 0.9)
    assert found is not None
    assert [histogram.upper_edge(bucket) >= 58 for bucket in found.values()] == [True]


def shifts(rng: np.random.Generator, size: float, windows: int, n: int = 5) -> float:
    moved = rng.normal(0, size, (windows, 1))
    numbers = rng.normal(0, 1, (windows, n)) + moved
    trials = np.full(windows, n)
    cuts = np.quantile(numbers, [0.5, 0.75, 0.9])
    return common_shift([((numbers > cut).sum(axis=1), trials) for cut in cuts])


def test_fluctuation_beyond_chance_is_found_and_sized() -> None:
    rng = np.random.default_rng(4)
    found = [shifts(rng, 0.5, 200) for _ in range(50)]
    assert 0.4 < np.median(found) < 0.75


def test_chance_alone_is_seldom_charged() -> None:
    rng = np.random.default_rng(5)
    assert np.mean([shifts(rng, 0.0, 60) > 0 for _ in range(200)]) < 0.2


def test_a_slow_wave_is_seen_over_longer_stretches() -> None:
    """Between neighbouring windows it hides, over sixteen of them it does not."""
    wave = np.repeat([0, 0, 3, 0, 1, 3, 0, 2, 3, 0, 0, 3, 1, 3, 0, 3], 16)
    rng = np.random.default_rng(6)
    hits = rng.binomial(8, 0.1 + 0.05 * wave)
    assert common_shift([(hits, np.full(hits.size, 8))]) > 0.15


def test_a_shift_moves_the_tails_most() -> None:
    assert relative_change(0.1, 0.05) > relative_change(0.1, 0.5) > 0


def test_a_rate_of_none_or_all_says_nothing() -> None:
    trials = np.full(20, 5)
    assert common_shift([(np.zeros(20, np.int64), trials), (trials, trials)]) == 0
