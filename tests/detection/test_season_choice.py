from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.detection.season_choice import choose_season
from tidegauge.detection.seasons import HOUR_MS, Season

HOURS = np.arange(14 * 24)
MONDAY_MS = 4 * 24 * HOUR_MS
DAY = np.sin(2 * np.pi * HOURS / 24)
WEEKEND = (HOURS // 24 % 7 >= 5).astype(float)
STEADY = np.zeros(len(HOURS))


def chosen(effect: NDArray[np.float64], seed: int, days: int = 14, events: int = 200) -> Season:
    """Return the season of days whose rates, 10% on average, differ from hour to hour.

    Args:
        effect: Change of the rate's logarithm by hour.
        seed: Of the draws.
        days: Length.
        events: Requests of an hour.
    """
    rng = np.random.default_rng(seed)
    hours = 24 * days
    trials = rng.poisson(events, (hours, 1))
    hits = rng.binomial(trials, 0.1 * np.exp(effect[:hours, None]))
    return choose_season(hits, trials, MONDAY_MS + HOURS[:hours] * HOUR_MS)


@pytest.mark.parametrize(
    ("effect", "season"),
    [(STEADY, "none"), (0.3 * DAY, "hour-of-day"), (0.3 * DAY - 0.5 * WEEKEND, "hour-of-week")],
)
def test_two_weeks_get_the_season_that_they_show(
    effect: NDArray[np.float64], season: Season
) -> None:
    found = [chosen(effect, seed) for seed in range(20)]
    assert found.count(season) >= 19


def test_slow_waves_are_no_season() -> None:
    rng = np.random.default_rng(0)
    wave = np.zeros(len(HOURS))
    for hour in range(1, len(HOURS)):
        wave[hour] = 0.6 * wave[hour - 1] + 0.2 * rng.normal()
    assert [chosen(np.roll(wave, 5 * seed), seed) for seed in range(10)].count("none") >= 9


def test_short_or_sparse_baselines_have_no_season() -> None:
    assert chosen(DAY, 0, days=2) == "none"
    assert chosen(DAY, 0, events=7) == "none"
    assert chosen(0.3 * DAY - 0.5 * WEEKEND, 0, events=40) == "hour-of-day"


def test_a_hundred_events_a_slot_show_the_days_cycle() -> None:
    assert [chosen(DAY, seed, events=9) for seed in range(20)].count("hour-of-day") >= 19
    assert [chosen(STEADY, seed, events=9) for seed in range(20)].count("none") >= 19
    assert chosen(DAY, 0, days=4, events=40) == "none"
