"""Odds ratios side by side: always valid, whatever the common rate and the split do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tidegauge.detection.odds_ratio import (
    add_window,
    difference_interval,
    no_windows,
    odds_interval,
)

ALPHA = 0.05


def ever_wrong(rng: np.random.Generator, windows: int) -> bool:
    """Look after every window; the rate wanders, and the new version's part grows."""
    found, log_odds = no_windows(), 0.0
    for window in range(windows):
        log_odds = 0.9 * log_odds + rng.normal(0, 0.4)
        rate = 0.3 / (1 + math.exp(-log_odds))
        n = max(1, round(40 * (window + 1) / windows))
        new, old = int(rng.binomial(n, rate)), int(rng.binomial(40 - n, rate))
        found = add_window(found, (new, n), (old, 40 - n))
        low, high = odds_interval(found, alpha=ALPHA)
        if not low <= 0 <= high:
            return True
    return False


def check_miscoverage(runs: int) -> None:
    rng = np.random.default_rng(1)
    wrong = sum(ever_wrong(rng, 80) for _ in range(runs)) / runs
    assert wrong <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_looking_often_makes_no_difference_in_brief() -> None:
    check_miscoverage(20)


@pytest.mark.stats
def test_looking_often_makes_no_difference() -> None:
    check_miscoverage(120)


def test_pooling_windows_of_a_growing_canary_would_err() -> None:
    """While the rate rises with the canary's part, pooled counts show a difference."""
    rng = np.random.default_rng(2)
    new, old, found = np.zeros(2), np.zeros(2), no_windows()
    for part in np.linspace(0.05, 0.95, 60):
        rate, n = 0.05 + 0.3 * part, int(200 * part)
        counts = int(rng.binomial(n, rate)), int(rng.binomial(200 - n, rate))
        found = add_window(found, (counts[0], n), (counts[1], 200 - n))
        new += np.array([counts[0], n])
        old += np.array([counts[1], 200 - n])
    rates = new[0] / new[1], old[0] / old[1]
    error = math.sqrt(sum(r * (1 - r) / n for r, n in zip(rates, (new[1], old[1]), strict=True)))
    assert (rates[0] - rates[1]) / error > 8
    low, high = odds_interval(found, alpha=ALPHA)
    assert low < 0 < high


def test_the_odds_ratio_is_found() -> None:
    rng = np.random.default_rng(3)
    found, truth = no_windows(), math.log(0.3 / 0.7) - math.log(0.2 / 0.8)
    for _ in range(100):
        new, old = int(rng.binomial(30, 0.3)), int(rng.binomial(60, 0.2))
        found = add_window(found, (new, 30), (old, 60))
    low, high = odds_interval(found, alpha=ALPHA)
    assert 0 < low < truth < high < 1
    ends = difference_interval((low, high), (1_200, 6_000), alpha=ALPHA)
    assert 0 < ends[0] < 0.1 < ends[1] < 0.2


def test_a_window_without_hits_says_nothing_of_the_odds() -> None:
    assert np.allclose(add_window(no_windows(), (0, 30), (0, 60)), 0)
    assert odds_interval(no_windows(), alpha=ALPHA) == (-math.inf, math.inf)
