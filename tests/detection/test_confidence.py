from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from tidegauge.detection.confidence import (
    bet,
    clopper_pearson,
    mean_sequence,
    no_bets,
)
from tidegauge.detection.errors import EngineError


@pytest.mark.parametrize("rate", [0.003, 0.05, 0.5, 0.97])
def test_clopper_pearson_covers_at_least_as_often_as_it_says(rate: float) -> None:
    n = 200
    counts = np.arange(n + 1)
    low, high = clopper_pearson(counts, np.full(n + 1, n), alpha=0.1)
    chances = binom.pmf(counts, n, rate)
    assert chances[rate < low].sum() <= 0.05 + 1e-12
    assert chances[rate > high].sum() <= 0.05 + 1e-12


def test_clopper_pearson_reaches_the_ends() -> None:
    low, high = clopper_pearson([0, 10], [10, 10], alpha=0.05)
    assert (low[0], high[1]) == (0.0, 1.0)


def test_a_mean_sequence_holds_at_every_look() -> None:
    rng = np.random.default_rng(6)
    missed, repeats = 0, 60
    for _ in range(repeats):
        state = no_bets()
        for values in rng.beta(2, 6, 200).reshape(20, 10):
            state = bet(state, values)
            low, high = mean_sequence(state, alpha=0.05)
            if not low <= 0.25 <= high:
                missed += 1
                break
    assert missed / repeats <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)


def test_a_mean_sequence_narrows_and_does_not_depend_on_the_order() -> None:
    values = np.random.default_rng(7).beta(2, 6, 500)
    forward, backward = bet(no_bets(), values), bet(no_bets(), values[::-1])
    np.testing.assert_allclose(forward.log_wealth, backward.log_wealth, atol=1e-9)
    low, high = mean_sequence(forward, alpha=0.05)
    assert low < values.mean() < high
    assert high - low < 0.12


def test_weighted_numbers_need_the_spread_that_their_weights_have() -> None:
    state = no_bets(spread=50.0)
    assert bet(state, [0.0, 50.0]).n == 2
    with pytest.raises(EngineError, match="widen the spread"):
        bet(no_bets(), [1.5])
    with pytest.raises(EngineError, match="widen the spread"):
        bet(no_bets(), [float("nan")])


def test_a_mean_needs_a_range() -> None:
    with pytest.raises(EngineError, match="low < high"):
        no_bets(low=1.0, high=1.0)
