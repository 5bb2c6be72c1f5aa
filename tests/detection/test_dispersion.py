from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import ndtr

from tidegauge.detection.dispersion import BLOCKS_MS, Dispersion, measure

MINUTE_MS = 60_000
MINUTES = 7 * 1_440
PER_MINUTE = 0.3
TOPICS = 25

Draw = Callable[[np.random.Generator, NDArray[np.int64]], NDArray[np.int64]]


def topics(rng: np.random.Generator, trials: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw which of many topics requests are on: each is rare within a block."""
    return rng.multinomial(trials, np.full(TOPICS, 1 / TOPICS))


def nearly_all(rng: np.random.Generator, trials: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw hits that only a few trials miss."""
    return rng.binomial(trials, 0.998)[:, None]


def wandering_topics(rng: np.random.Generator, trials: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw topics whose shares differ from hour to hour."""
    shares = rng.dirichlet(np.full(TOPICS, 4.0), MINUTES // 60).repeat(60, axis=0)
    return rng.multinomial(trials, shares)


def wanders(draw: Draw, rng: np.random.Generator) -> bool:
    """Say whether a week's rates are found to fluctuate by more than chance."""
    trials = rng.poisson(PER_MINUTE, MINUTES)
    hits = draw(rng, trials)
    asked = np.repeat(trials[:, None], hits.shape[1], axis=1)
    expected = hits.sum(axis=0) / trials.sum() * asked
    times = np.arange(MINUTES, dtype=np.int64) * MINUTE_MS
    return bool(measure(hits, expected, asked, times, ["one"] * hits.shape[1]).waves.any())


@pytest.mark.parametrize("draw", [topics, nearly_all])
def test_rare_events_of_steady_traffic_are_no_waves(draw: Draw) -> None:
    rng = np.random.default_rng(0)
    assert sum(wanders(draw, rng) for _ in range(40)) <= 2, "one in a hundred is expected"


def test_shares_that_wander_from_hour_to_hour_are_found_in_sparse_traffic() -> None:
    rng = np.random.default_rng(1)
    assert all(wanders(wandering_topics, rng) for _ in range(5))


def of_waves(rng: np.random.Generator, sd: float, minutes: float, hours: int) -> Dispersion:
    """Measure slow answers, 6 requests a minute, under waves of a speed that has noise of .25."""
    windows = hours * 60
    kept = np.exp(-1 / minutes)
    shocks = rng.normal(0.0, sd, windows)
    shocks[1:] *= np.sqrt(1 - kept**2)
    wave = lfilter([1.0], [1.0, -kept], shocks)
    trials = rng.poisson(6.0, windows)
    hits = rng.binomial(trials, ndtr((wave - 0.2) / 0.25))[:, None]
    times = np.arange(windows, dtype=np.int64) * MINUTE_MS
    expected = hits.sum() / trials.sum() * trials[:, None]
    return measure(hits, expected, trials[:, None], times, ["slow"])


def unresolved(sd: float, minutes: float, hours: int) -> float:
    """Return the share of baselines whose waves are found to be slower than they can show."""
    rng = np.random.default_rng(2)
    found = [bool(of_waves(rng, sd, minutes, hours).unresolved[0]) for _ in range(40)]
    return sum(found) / len(found)


def test_waves_of_two_hours_are_too_slow_for_a_baseline_of_six_and_of_a_day() -> None:
    assert unresolved(0.3, 120.0, 6) >= 0.6
    assert unresolved(0.3, 120.0, 24) >= 0.9


def test_waves_of_ten_minutes_are_seen_in_six_hours() -> None:
    assert unresolved(0.15, 10.0, 6) <= 0.2


def test_a_rate_of_one_tells_nothing_and_leaves_the_others_their_bounds() -> None:
    rng = np.random.default_rng(2)
    trials = rng.poisson(6.0, MINUTES)[:, None]
    times = np.arange(MINUTES, dtype=np.int64) * MINUTE_MS
    alone = measure(trials, trials.astype(float), trials, times, ["always"])
    assert alone.block_ms.tolist() == [0]
    assert alone.tau.tolist() == [0.0]
    hits = np.hstack([trials, rng.binomial(trials, 0.3)])
    asked = trials.repeat(2, axis=1)
    expected = np.hstack([trials.astype(float), trials * 0.3])
    both = measure(hits, expected, asked, times, ["one", "one"])
    assert np.isfinite(both.tau).all()
    other = measure(hits[:, 1:], expected[:, 1:], trials, times, ["one"])
    assert (both.block_ms == other.block_ms).all()
    assert both.tau[1] == pytest.approx(other.tau[0])


def test_what_never_happened_leaves_the_others_their_dispersion_and_shares_it() -> None:
    rng = np.random.default_rng(2)
    trials = rng.poisson(PER_MINUTE, MINUTES)
    hits = np.pad(wandering_topics(rng, trials), ((0, 0), (0, 1)))
    asked = np.repeat(trials[:, None], TOPICS + 1, axis=1)
    expected = hits.sum(axis=0) / trials.sum() * asked
    times = np.arange(MINUTES, dtype=np.int64) * MINUTE_MS
    found = measure(hits, expected, asked, times, ["one"] * (TOPICS + 1))
    without = measure(hits[:, :-1], expected[:, :-1], asked[:, :-1], times, ["one"] * TOPICS)
    assert found.waves.all()
    assert found.tau[:-1].tolist() == without.tau.tolist()
    assert found.tau[-1] > 0


def test_a_part_of_a_block_fluctuates_as_bursts_within_it_do() -> None:
    rng = np.random.default_rng(4)
    rate = np.full(3 * 24 * 60, 0.05)
    for start in rng.integers(0, len(rate) - 5, 12):
        rate[start : start + 5] = 0.6
    trials = np.full((len(rate), 1), 6)
    hits = rng.binomial(trials, rate[:, None])
    expected = trials * hits.sum() / trials.sum()
    times = np.arange(len(rate)) * 60_000
    found = measure(hits, expected, trials, times, ["x/y"])
    within = dict(zip(BLOCKS_MS, found.tau_within[:, 0].tolist(), strict=True))
    assert within[5 * 60_000] > 1.3 * within[6 * 3_600_000]
    later = [tau for length, tau in within.items() if length >= found.block_ms[0]]
    assert later == [found.tau[0]] * len(later)
