from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.quality.calibration import (
    LEAST_LABELS,
    Calibrated,
    Scores,
    prediction_powered,
    rogan_gladen,
)
from tidegauge.quality.errors import EstimateError

Floats = NDArray[np.float64]
TRUTH = 0.62
NONE = Scores.of([])


def answers(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
    """Labels, and the scores of a judge that is too kind and not always right."""
    y = (rng.random(count) < TRUTH).astype(float)
    f = np.clip(0.45 + 0.4 * y + rng.normal(0, 0.18, count), 0, 1)
    return y, f


def run(rng: np.random.Generator, labels: int) -> tuple[Calibrated, Calibrated, float]:
    _, f_all = answers(rng, 4_000)
    y, f = answers(rng, labels)
    powered = prediction_powered(Scores.of(f_all), Scores.of(f), y)
    alone = prediction_powered(NONE, Scores.of(f), y)
    return powered, alone, float(f_all.mean())


def coverage(repeats: int) -> tuple[float, float, float, float]:
    rng = np.random.default_rng(17)
    covered = raw = 0
    widths = np.zeros(2)
    for _ in range(repeats):
        powered, alone, judge = run(rng, 200)
        covered += powered.low <= TRUTH <= powered.high
        raw += abs(judge - TRUTH) < 1.96 * 0.3 / np.sqrt(4_000)
        widths += [(each.high - each.low) / 2 for each in (powered, alone)]
    return covered / repeats, raw / repeats, widths[0] / repeats, widths[1] / repeats


def test_labels_and_judge_together_cover_the_truth() -> None:
    covered, raw, powered, alone = coverage(200)
    assert covered >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 200)
    assert raw < 0.1
    assert powered < 0.8 * alone


@pytest.mark.stats
def test_labels_and_judge_together_cover_the_truth_at_length() -> None:
    covered, raw, powered, alone = coverage(3_000)
    assert covered >= 0.93
    assert raw < 0.01
    assert powered < 0.8 * alone


def test_few_labels_stand_alone_and_say_so() -> None:
    rng = np.random.default_rng(5)
    powered, alone, _ = run(rng, LEAST_LABELS - 1)
    assert powered.labels_alone
    assert powered.weight == 0
    assert (powered.low, powered.high) == (alone.low, alone.high)
    assert not run(rng, LEAST_LABELS)[0].labels_alone


def test_a_useless_judge_does_no_harm() -> None:
    rng = np.random.default_rng(6)
    y, _ = answers(rng, 400)
    noise, all_noise = rng.random(400), rng.random(4_000)
    powered = prediction_powered(Scores.of(all_noise), Scores.of(noise), y)
    alone = prediction_powered(NONE, Scores.of(noise), y)
    assert powered.high - powered.low <= 1.05 * (alone.high - alone.low)


def test_a_judge_that_always_says_the_same_counts_for_nothing() -> None:
    y = np.tile([0.0, 1.0], 150)
    same, all_same = Scores.of(np.full(300, 0.5)), Scores.of(np.full(900, 0.5))
    assert prediction_powered(all_same, same, y).weight == 0


def test_unequal_chances_are_made_good_for() -> None:
    rng = np.random.default_rng(9)
    covered = biased = 0
    for _ in range(200):
        y_all, f_all = answers(rng, 4_000)
        # Bad answers are sampled more often, by the judge's draw and by the people's.
        judge_chance = np.where(f_all < 0.6, 0.9, 0.3)
        drawn = rng.random(4_000) < judge_chance
        person_chance = judge_chance * np.where(f_all < 0.6, 0.25, 0.1)
        asked = drawn & (rng.random(4_000) < person_chance / judge_chance)
        rest = drawn & ~asked
        found = prediction_powered(
            Scores.of(f_all[rest], (judge_chance - person_chance)[rest]),
            Scores.of(f_all[asked], person_chance[asked]),
            y_all[asked],
        )
        covered += found.low <= TRUTH <= found.high
        plain = prediction_powered(Scores.of(f_all[rest]), Scores.of(f_all[asked]), y_all[asked])
        biased += not plain.low <= TRUTH <= plain.high
    assert covered / 200 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 200)
    assert biased / 200 > 0.5


def test_numbers_that_do_not_match_are_refused() -> None:
    with pytest.raises(EstimateError):
        prediction_powered(NONE, Scores.of([0.5, 0.4]), [1.0])
    with pytest.raises(EstimateError, match="two of each"):
        prediction_powered(NONE, Scores.of([0.5]), [1.0])
    with pytest.raises(EstimateError, match="labels must be finite"):
        prediction_powered(NONE, Scores.of([0.5, 0.4]), [1.0, float("nan")])
    with pytest.raises(EstimateError, match="scores must be finite"):
        Scores.of([0.5, float("nan")])
    with pytest.raises(EstimateError, match="weights positive"):
        Scores.of([0.5], -1.0)
    with pytest.raises(EstimateError, match="one of each"):
        Scores(np.ones(2), np.ones(3))


def test_a_binary_judges_share_is_corrected() -> None:
    sensitivity, specificity = 0.85, 0.7
    seen = TRUTH * sensitivity + (1 - TRUTH) * (1 - specificity)
    found = rogan_gladen(seen, sensitivity=sensitivity, specificity=specificity)
    assert found == pytest.approx(TRUTH)
    assert rogan_gladen(0.01, sensitivity=0.8, specificity=0.8) == 0


def test_a_judge_that_nearly_guesses_is_not_corrected() -> None:
    with pytest.raises(EstimateError, match="labels alone"):
        rogan_gladen(0.6, sensitivity=0.6, specificity=0.65)
