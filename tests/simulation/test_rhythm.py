from __future__ import annotations

import numpy as np
import pytest

from tidegauge.simulation.rhythm import Campaign, Recorded, Rhythm, Wave, arrivals, wave_values

MONDAY_MS = 1_767_571_200_000
DAY = 86_400.0


@pytest.fixture
def recorded() -> Recorded:
    rng = np.random.default_rng(1)
    gaps = rng.exponential(size=2_000)
    tokens = rng.integers(1, 500, 2_000)
    return Recorded(gaps / gaps.mean(), tokens, tokens)


def counts(rhythm: Rhythm, days: float, recorded: Recorded, width: float) -> list[int]:
    times, _ = arrivals(rhythm, MONDAY_MS, days * DAY, recorded, np.random.default_rng(7))
    found, _ = np.histogram(times, np.arange(0, days * DAY + width, width))
    return [int(n) for n in found]


def test_as_many_arrive_as_were_asked_for(recorded: Recorded) -> None:
    (found,) = counts(Rhythm(per_day=20_000), 1, recorded, DAY)
    assert found == pytest.approx(20_000, rel=0.06)


def test_the_afternoon_is_busier_than_the_night(recorded: Recorded) -> None:
    hours = counts(Rhythm(per_day=20_000, day=0.8), 1, recorded, DAY / 24)
    assert hours[14] > 4 * hours[2]


def test_the_weekend_is_quieter(recorded: Recorded) -> None:
    days = counts(Rhythm(per_day=5_000, weekend=0.5), 7, recorded, DAY)
    assert max(days[5:]) < 0.7 * min(days[:5])
    assert sum(days) == pytest.approx(35_000, rel=0.06)


def test_a_campaign_raises_the_rate_while_it_lasts(recorded: Recorded) -> None:
    rhythm = Rhythm(per_day=24_000, campaigns=(Campaign(3_600.0, 3_600.0, 3.0),))
    hours = counts(rhythm, 0.25, recorded, 3_600.0)
    assert hours[1] > 2 * max(hours[0], hours[2])


def test_waves_have_the_variance_and_the_correlation_asked_for() -> None:
    wave = np.log(wave_values(Wave(0.3, 600.0), 200 * DAY, np.random.default_rng(2)))
    assert wave.std() == pytest.approx(0.3, rel=0.03)
    assert np.corrcoef(wave[:-60], wave[60:])[0, 1] == pytest.approx(np.exp(-1), abs=0.03)


def test_gaps_keep_their_order_within_a_block(recorded: Recorded) -> None:
    rows = recorded.block_rows(200, np.random.default_rng(3))
    steps = np.diff(rows) % len(recorded.gaps)
    assert (steps == 1).sum() >= 195


def test_the_same_seed_gives_the_same_arrivals(recorded: Recorded) -> None:
    rhythm = Rhythm(per_day=2_000, wave=Wave(0.2, 600.0))
    first, second = (
        arrivals(rhythm, MONDAY_MS, DAY, recorded, np.random.default_rng(5))[0] for _ in range(2)
    )
    assert (first == second).all()
