from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.quality.calibration import (
    LEAST_LABELS,
    Calibrated,
    Labels,
    Scores,
    corrected_share,
    labels_alone,
    prediction_powered,
    rogan_gladen,
)
from tidegauge.quality.errors import EstimateError

Floats = NDArray[np.float64]
TRUTH = 0.62
SPREAD = 3 * np.sqrt(0.05 * 0.95)
"""Three standard errors of a coverage, times the root of the repeats."""


def answers(rng: np.random.Generator, count: int, *, truth: float = TRUTH) -> tuple[Floats, Floats]:
    """Labels, and the scores of a judge that is too kind and not always right."""
    y = (rng.random(count) < truth).astype(float)
    f = np.clip(0.45 + 0.4 * y + rng.normal(0, 0.18, count), 0, 1)
    return y, f


def covers(found: Calibrated, truth: float = TRUTH) -> bool:
    return found.low <= truth <= found.high


def run(rng: np.random.Generator, labels: int) -> tuple[Calibrated, Calibrated, float]:
    y, f = answers(rng, 4_000)
    judged, labelled = Scores.of(f), Labels.of(np.arange(labels), y[:labels], labels / 4_000)
    return (
        prediction_powered(judged, labelled),
        labels_alone(judged, labelled),
        float(f.mean()),
    )


def coverage(repeats: int) -> tuple[float, float, float, float]:
    rng = np.random.default_rng(17)
    covered = raw = 0
    widths = np.zeros(2)
    for _ in range(repeats):
        powered, alone, judge = run(rng, 200)
        covered += covers(powered)
        raw += abs(judge - TRUTH) < 1.96 * 0.3 / np.sqrt(4_000)
        widths += [(each.high - each.low) / 2 for each in (powered, alone)]
    return covered / repeats, raw / repeats, widths[0] / repeats, widths[1] / repeats


def test_labels_and_judge_together_cover_the_truth() -> None:
    covered, raw, powered, alone = coverage(200)
    assert covered >= 0.95 - SPREAD / np.sqrt(200)
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
    assert powered.alone == "200 conversations with labels are needed to use the judge"
    assert powered.weight == 0
    assert (powered.low, powered.high) == (alone.low, alone.high)
    assert run(rng, LEAST_LABELS)[0].alone is None


def test_a_useless_judge_does_no_harm() -> None:
    rng = np.random.default_rng(6)
    y, _ = answers(rng, 400)
    judged, labelled = Scores.of(rng.random(4_400)), Labels.of(np.arange(400), y, 400 / 4_400)
    powered, alone = prediction_powered(judged, labelled), labels_alone(judged, labelled)
    assert powered.high - powered.low <= 1.05 * (alone.high - alone.low)


def test_a_judge_that_always_says_the_same_counts_for_nothing() -> None:
    y = np.tile([0.0, 1.0], 150)
    judged = Scores.of(np.full(1_200, 0.5))
    assert prediction_powered(judged, Labels.of(np.arange(300), y, 0.25)).weight == 0


def targeted(rng: np.random.Generator, count: int) -> tuple[Scores, Labels, Labels]:
    """Bad answers are given to people at .5, good ones at .05, among answers judged at .3 or .9.

    The second labels are the same ones without their probabilities.
    """
    y, f = answers(rng, count)
    judge_chance = np.where(f < 0.6, 0.9, 0.3)
    drawn = rng.random(count) < judge_chance
    y, f, judge_chance = y[drawn], f[drawn], judge_chance[drawn]
    person_chance = judge_chance * np.where(f < 0.6, 0.5, 0.05)
    asked = np.flatnonzero(rng.random(f.size) < person_chance / judge_chance)
    return (
        Scores.of(f, judge_chance),
        Labels.of(asked, y[asked], person_chance[asked]),
        Labels.of(asked, y[asked], judge_chance[asked]),
    )


def test_targeted_labels_are_made_good_for() -> None:
    rng = np.random.default_rng(9)
    covered = biased = 0
    for _ in range(200):
        judged, labels, careless = targeted(rng, 2_500)
        found = prediction_powered(judged, labels)
        assert found.alone is None
        covered += covers(found)
        biased += not covers(prediction_powered(judged, careless))
    assert covered / 200 >= 0.95 - SPREAD / np.sqrt(200)
    assert biased / 200 > 0.5


@pytest.mark.parametrize("truth", [0.97, 0.9, 0.5])
def test_fifty_labels_cover_a_rare_kind(truth: float) -> None:
    rng = np.random.default_rng(10)
    covered = 0
    for _ in range(400):
        y, f = answers(rng, 50, truth=truth)
        covered += covers(prediction_powered(Scores.of(f), Labels.of(np.arange(50), y)), truth)
    assert covered / 400 >= 0.93


def test_labels_that_are_all_alike_have_a_width() -> None:
    judged = Scores.of(np.full(300, 0.9))
    few = prediction_powered(judged, Labels.of(np.arange(50), np.ones(50), 0.5))
    assert (round(few.low, 3), few.high) == (0.929, 1.0)
    many = prediction_powered(judged, Labels.of(np.arange(250), np.ones(250), 0.9))
    assert many.alone == "10 good and 10 bad labels are needed to use the judge"
    assert many.low == pytest.approx(1 - 3.7 / 250, abs=0.001)


def test_a_conversation_is_one_cluster() -> None:
    rng = np.random.default_rng(11)
    covered = plain = 0
    for _ in range(200):
        good = (rng.random(300) < TRUTH).astype(float)
        y = np.repeat(good, 8)  # all answers of a conversation are alike
        f = np.clip(0.45 + 0.4 * y + rng.normal(0, 0.18, y.size), 0, 1)
        names = np.repeat(np.arange(300), 8).tolist()
        labels = Labels.of(np.arange(y.size), y)
        covered += covers(prediction_powered(Scores.of(f, 1.0, names), labels))
        plain += covers(prediction_powered(Scores.of(f), labels))
    assert covered / 200 >= 0.95 - SPREAD / np.sqrt(200)
    assert plain / 200 < 0.7


def test_few_conversations_with_many_labels_stand_alone() -> None:
    y = np.tile([0.0, 1.0], 500)
    names = (np.arange(1_000) // 10).tolist()
    found = prediction_powered(Scores.of(y, 1.0, names), Labels.of(np.arange(1_000), y))
    assert (found.labels, found.conversations) == (1_000, 100)
    assert found.alone is not None


def test_numbers_that_do_not_match_are_refused() -> None:
    two = Scores.of([0.5, 0.4])
    with pytest.raises(EstimateError, match="one of each"):
        prediction_powered(two, Labels.of([0, 1], [1.0]))
    with pytest.raises(EstimateError, match="fewer than 2 conversations"):
        prediction_powered(two, Labels.of([0], [1.0]))
    with pytest.raises(EstimateError, match="fewer than 2 conversations"):
        prediction_powered(Scores.of([0.5, 0.4], 1.0, ["a", "a"]), Labels.of([0, 1], [1.0, 0.0]))
    with pytest.raises(EstimateError, match="labels must be finite"):
        prediction_powered(two, Labels.of([0, 1], [1.0, float("nan")]))
    with pytest.raises(EstimateError, match=r"one of them 0\.500 above 0\.200"):
        prediction_powered(Scores.of([0.5, 0.4], 0.2), Labels.of([0, 1], [1.0, 0.0], [0.2, 0.5]))
    with pytest.raises(EstimateError, match="scores must be finite"):
        Scores.of([0.5, float("nan")])
    with pytest.raises(EstimateError, match="weights positive"):
        Scores.of([0.5], -1.0)
    with pytest.raises(EstimateError, match="one of each"):
        Scores(np.ones(2), np.ones(3), np.arange(2))


def test_labels_beyond_0_and_1_have_students_interval() -> None:
    found = labels_alone(Scores.of([0.0, 0.0]), Labels.of([0, 1], [-1.0, 1.0]))
    assert found.high == pytest.approx(12.706, abs=0.001)


def test_a_binary_judges_share_is_corrected() -> None:
    sensitivity, specificity = 0.85, 0.7
    seen = TRUTH * sensitivity + (1 - TRUTH) * (1 - specificity)
    found = rogan_gladen(seen, sensitivity=sensitivity, specificity=specificity)
    assert found == pytest.approx(TRUTH)
    assert rogan_gladen(0.01, sensitivity=0.8, specificity=0.8) == 0


def test_the_cross_check_weighs_targeted_labels() -> None:
    rng = np.random.default_rng(13)
    covered = 0
    for _ in range(100):
        judged, labels, _ = targeted(rng, 2_500)
        found = corrected_share(judged, labels)
        covered += found.low <= TRUTH <= found.high
    assert covered / 100 >= 0.95 - SPREAD / np.sqrt(100)


def test_a_cross_check_needs_good_and_bad_answers_and_shares() -> None:
    two = Labels.of([0, 1], [1.0, 1.0])
    with pytest.raises(EstimateError, match="people liked all"):
        corrected_share(Scores.of([0.5, 0.4]), two)
    with pytest.raises(EstimateError, match="not within 0 and 1"):
        corrected_share(Scores.of([-0.5, 0.4]), two)


def test_a_judge_that_nearly_guesses_is_not_corrected() -> None:
    with pytest.raises(EstimateError, match="labels alone"):
        rogan_gladen(0.6, sensitivity=0.6, specificity=0.65)
