from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.detection.confidence import bet, mean_sequence
from tidegauge.quality.errors import EstimateError
from tidegauge.quality.streaming import Observation, quality_bets, unbiased_score

Floats = NDArray[np.float64]
FLOOR = 0.2
TRUTH = 0.7


def stream(rng: np.random.Generator, count: int, *, people: bool) -> Floats:
    """Z of answers that people like with chance .7, and a judge that is too strict."""
    zs = []
    for _ in range(count):
        y = float(rng.random() < TRUTH)
        s = float(np.clip(0.2 + 0.6 * y + rng.normal(0, 0.1), 0, 1))
        g = float(np.clip(0.3 + 0.2 * y + rng.normal(0, 0.1), 0, 1))
        chance = FLOOR if rng.random() < 0.5 else 0.6
        drawn = rng.random() < chance
        asked = drawn and rng.random() < 0.5
        person = Observation(y if asked else None, chance * 0.5) if people else None
        zs.append(unbiased_score(g, Observation(s if drawn else None, chance), person))
    return np.array(zs)


def test_people_make_it_unbiased_for_the_label() -> None:
    zs = stream(np.random.default_rng(1), 20_000, people=True)
    assert abs(zs.mean() - TRUTH) <= 3 * zs.std() / np.sqrt(zs.size)


def test_without_people_it_is_the_judges_own_mean() -> None:
    zs = stream(np.random.default_rng(2), 20_000, people=False)
    judge = 0.2 + 0.6 * TRUTH
    assert abs(zs.mean() - judge) <= 3 * zs.std() / np.sqrt(zs.size) + 0.001
    assert abs(zs.mean() - TRUTH) > 10 * zs.std() / np.sqrt(zs.size)


def test_every_z_is_within_what_the_bets_allow() -> None:
    people = quality_bets(floor=FLOOR, person_floor=FLOOR / 2)
    bet(people, stream(np.random.default_rng(3), 2_000, people=True))
    judges = quality_bets(floor=FLOOR)
    bet(judges, stream(np.random.default_rng(3), 2_000, people=False))
    assert judges.spread == 1 / FLOOR


def miscoverage(streams: int, length: int, rng: np.random.Generator) -> tuple[float, float]:
    """Share of streams that miss at some look: the bets, and a plain interval."""
    ours = plain = 0
    for _ in range(streams):
        zs = stream(rng, length, people=True)
        state = quality_bets(floor=FLOOR, person_floor=FLOOR / 2)
        wrong = False
        for part in np.array_split(zs, length // 25):
            state = bet(state, part)
            low, high = mean_sequence(state, alpha=0.05)
            wrong = wrong or not low <= TRUTH <= high
        ours += wrong
        n = np.arange(25, length + 1, 25)
        means = np.cumsum(zs)[n - 1] / n
        errors = np.array([zs[:k].std(ddof=1) / np.sqrt(k) for k in n])
        plain += bool((np.abs(means - TRUTH) > 1.96 * errors).any())
    return ours / streams, plain / streams


def test_the_bets_hold_under_peeking() -> None:
    ours, plain = miscoverage(12, 200, np.random.default_rng(7))
    assert ours <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 12)
    assert plain > ours


@pytest.mark.stats
@pytest.mark.timeout(900)
def test_the_bets_hold_under_peeking_at_length() -> None:
    ours, plain = miscoverage(300, 1_000, np.random.default_rng(8))
    assert ours <= 0.05
    assert plain > 0.2


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1, float("nan")])
def test_a_chance_that_is_none_is_refused(probability: float) -> None:
    with pytest.raises(EstimateError):
        Observation(0.5, probability)


def test_people_are_asked_among_judged_answers() -> None:
    with pytest.raises(EstimateError, match="among judged"):
        unbiased_score(0.5, Observation(None, 0.2), Observation(1.0, 0.5))
