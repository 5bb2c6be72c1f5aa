from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    assert histogram.split(whole, bucket)[0] >= level * len(values) - 1e-9
    assert histogram.split(whole, bucket - 1)[0] < level * len(values) + 1e-9


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
