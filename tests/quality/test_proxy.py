from __future__ import annotations

import numpy as np
import pytest
from tests.quality.test_agreement import HASH, judgment

from tidegauge.quality.labels import MeanLabel
from tidegauge.quality.proxy import PairedScores, assisted, paired_scores, sequential_mean
from tidegauge.schemas.evaluations import JudgmentEvent

TRUTH = 0.55
RATE = 0.2
EXPENSIVE, CHEAP = ("rubric", "score"), ("likelihood", "fluency")


def traffic(
    rng: np.random.Generator, count: int, *, cheap_rate: float = 1.0
) -> list[JudgmentEvent]:
    """Answers whose rubric score is foretold by their fluency, drawn by one number."""
    found = []
    for number in range(count):
        fluency = float(rng.normal(-1, 0.5))
        score = float(np.clip(TRUTH + 0.3 * (fluency + 1) + rng.normal(0, 0.05), 0, 1))
        place = rng.random()
        if place < cheap_rate:
            found.append(
                judgment(number, fluency, judge="likelihood", name="fluency", chance=cheap_rate)
            )
        if place < RATE:
            found.append(judgment(number, score, chance=RATE))
    return found


def paired(judgments: list[JudgmentEvent]) -> tuple[PairedScores, ...]:
    return paired_scores(judgments, expensive=EXPENSIVE, cheap=CHEAP)


@pytest.mark.parametrize("cheap_rate", [1.0, 0.6])
def test_the_cheap_judge_narrows_the_dear_ones_interval(cheap_rate: float) -> None:
    rng = np.random.default_rng(1)
    covered, ratio = 0, 0.0
    for _ in range(30):
        found = paired(traffic(rng, 2_000, cheap_rate=cheap_rate))
        helped = assisted(found)
        alone = assisted([each for each in found if each.score is not None])
        assert helped is not None
        assert alone is not None
        covered += helped.low <= TRUTH <= helped.high
        ratio += (helped.high - helped.low) / (alone.high - alone.low)
    assert covered / 30 >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 30)
    assert ratio / 30 < 0.8


def test_a_sequence_follows_the_mean_of_all_answers() -> None:
    rng = np.random.default_rng(2)
    found = sequential_mean(paired(traffic(rng, 6_000)))
    assert found is not None
    assert found.low <= TRUTH <= found.high
    assert found.mean == pytest.approx(TRUTH, abs=0.02)
    assert found.high - found.low < 0.25
    assert found.answers == 6_000
    assert 1_000 < found.judged < 1_400


def test_people_correct_a_judge_that_is_too_kind() -> None:
    rng = np.random.default_rng(3)
    judgments = traffic(rng, 6_000)
    chance = RATE * 0.5
    labels = {
        each.request_id: MeanLabel(max(0.0, each.scores["score"] - 0.2), chance)
        for each in judgments
        if each.judge == "rubric" and rng.random() < 0.5
    }
    found = sequential_mean(paired(judgments), labels)
    assert found is not None
    assert found.labelled == len(labels)
    assert found.mean == pytest.approx(TRUTH - 0.2, abs=0.03)
    assert found.low <= TRUTH - 0.2 <= found.high


def test_without_all_traffic_there_is_no_sequence() -> None:
    rng = np.random.default_rng(4)
    assert sequential_mean(paired(traffic(rng, 500, cheap_rate=0.5))) is None
    assert sequential_mean(()) is None
    assert assisted(()) is None


def test_a_label_without_its_chance_has_no_sequence() -> None:
    judgments = traffic(np.random.default_rng(5), 50)
    labels = {each.request_id: MeanLabel(1.0, None) for each in judgments}
    assert sequential_mean(paired(judgments), labels) is None


def test_a_conversation_enters_a_sequence_once() -> None:
    pairs = [PairedScores(number, f"r{number}", "long", 0.0, 1.0, 1.0, 1.0) for number in range(9)]
    pairs.append(PairedScores(9, "r9", "short", 0.0, 1.0, 0.0, 1.0))
    found = sequential_mean(pairs)
    assert found is not None
    assert (found.answers, found.conversations, found.mean) == (10, 2, 0.5)


def test_scores_beyond_0_and_1_have_no_sequence() -> None:
    pair = PairedScores(1, "r1", "c1", -1.0, 1.0, 1.7, 0.5)
    assert sequential_mean([pair]) is None


def test_only_the_newest_epoch_counts() -> None:
    judgments = [
        judgment(
            1, -1.0, judge="likelihood", name="fluency", specification_hash="0" * 64, chance=1.0
        ),
        judgment(2, -2.0, judge="likelihood", name="fluency", chance=1.0),
        judgment(2, 0.5),
        judgment(3, -3.0, judge="likelihood", name="fluency", chance=1.0),
        judgment(4, 0.7),
    ]
    found = paired(judgments)
    assert HASH != "0" * 64
    assert [(each.request_id, each.score) for each in found] == [("r2", 0.5), ("r3", None)]
