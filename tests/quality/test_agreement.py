from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tidegauge.quality.agreement import agreements
from tidegauge.quality.labels import MeanLabel
from tidegauge.schemas import Segment
from tidegauge.schemas.evaluations import JudgmentEvent

HASH = "e" * 64


def judgment(  # noqa: PLR0913 - each has a default
    number: int,
    score: float | None,
    *,
    judge: str = "rubric",
    name: str = "score",
    specification_hash: str = HASH,
    chance: float = 0.5,
) -> JudgmentEvent:
    return JudgmentEvent(
        request_id=f"r{number}",
        producer_id="judge/responses.v1-0",
        sequence=number + 1,
        time_ms=number + 1,
        segment=Segment(model="m"),
        judge=judge,
        specification_hash=specification_hash,
        inclusion_probability=chance,
        sampling_period=1,
        salt="s",
        scores={} if score is None else {name: score},
        qualified=True,
        invalid="label_mass" if score is None else None,
    )


def crowd(count: int, labelled: int) -> tuple[list[JudgmentEvent], dict[str, MeanLabel]]:
    rng = np.random.default_rng(3)
    y = (rng.random(count) < 0.6).astype(float)
    f = np.clip(0.3 + 0.5 * y + rng.normal(0, 0.1, count), 0, 1)
    found = [judgment(number, float(score)) for number, score in enumerate(f)]
    return found, {f"r{number}": MeanLabel(float(y[number]), 0.1) for number in range(labelled)}


def test_a_judge_is_corrected_by_people() -> None:
    judgments, labels = crowd(3_000, 300)
    (found,) = agreements(judgments, labels)
    assert (found.judged, found.labelled) == (3_000, 300)
    assert found.corrected is not None
    assert found.corrected.alone is None
    assert found.corrected.low < 0.6 < found.corrected.high
    assert found.area is not None
    assert found.area > 0.95
    assert found.cross_check is not None
    assert found.cross_check.low < 0.6 < found.cross_check.high


def test_few_labels_stand_alone() -> None:
    judgments, labels = crowd(500, 50)
    (found,) = agreements(judgments, labels)
    assert found.corrected is not None
    assert found.corrected.alone is not None


def test_without_labels_there_is_the_judge_only() -> None:
    judgments, _ = crowd(50, 0)
    (found,) = agreements(judgments, {})
    assert (found.labelled, found.corrected, found.area) == (0, None, None)
    assert "fewer than 2 conversations" in (found.cross_check_refused or "")


def test_judgments_on_conversations_are_not_compared_with_labels_of_answers() -> None:
    whole = msgspec.structs.replace(judgment(1, 0.5), unit="conversation")
    assert agreements([whole], {}) == ()


def test_specification_hashes_and_scores_stand_apart() -> None:
    judgments = [
        judgment(1, 0.5),
        judgment(2, 0.5, specification_hash="f" * 64),
        judgment(3, -1.0, judge="likelihood", name="fluency"),
        judgment(4, None),
    ]
    found = agreements(judgments, {"r1": MeanLabel(1.0, 1.0)})
    assert [(each.judge, each.specification_hash[0], each.judged) for each in found] == [
        ("likelihood", "e", 1),
        ("rubric", "e", 1),
        ("rubric", "f", 1),
    ]
    assert found[0].cross_check is None


def test_a_judgment_that_comes_twice_counts_once() -> None:
    judgments, labels = crowd(40, 20)
    assert agreements([*judgments, *judgments], labels) == agreements(judgments, labels)


def test_means_count_by_what_an_answer_stands_for() -> None:
    judgments = [judgment(1, 1.0, chance=0.1), judgment(2, 0.0, chance=0.9)]
    (found,) = agreements(judgments, {})
    assert found.judge_mean == pytest.approx(10 / (10 + 1 / 0.9))


def asked_by_score(
    rng: np.random.Generator, *, known: bool
) -> tuple[list[JudgmentEvent], dict[str, MeanLabel]]:
    """Answers with low scores are labelled at .5, those with high ones at .05."""
    judgments, _ = crowd(0, 0)
    labels = {}
    for number in range(3_000):
        y = float(rng.random() < 0.6)
        score = float(np.clip(0.3 + 0.5 * y + rng.normal(0, 0.2), 0, 1))
        judgments.append(judgment(number, score, chance=1.0))
        chance = 0.5 if score < 0.5 else 0.05
        if rng.random() < chance:
            labels[f"r{number}"] = MeanLabel(y, chance if known else None)
    return judgments, labels


@pytest.mark.parametrize("known", [True, False])
def test_people_who_were_asked_by_score_are_weighted(known: bool) -> None:  # noqa: FBT001
    rng = np.random.default_rng(12)
    covered = 0
    for _ in range(40):
        (found,) = agreements(*asked_by_score(rng, known=known))
        assert found.chances_estimated is not known
        assert found.corrected is not None
        assert found.corrected.mean == pytest.approx(0.6, abs=0.08)
        covered += found.corrected.low <= 0.6 <= found.corrected.high
    assert covered >= 35


def test_a_chance_that_cannot_be_estimated_is_refused() -> None:
    judgments = [judgment(number, number / 100, chance=1.0) for number in range(100)]
    labels = {f"r{number}": MeanLabel(1.0, None) for number in range(20)}
    (found,) = agreements(judgments, labels)
    assert found.corrected is None
    assert "inclusion_probability" in (found.corrected_refused or "")


def test_a_label_likelier_than_its_judgment_is_refused() -> None:
    judgments, labels = crowd(300, 0)
    labels |= {f"r{number}": MeanLabel(1.0, 0.9) for number in range(5)}
    (found,) = agreements(judgments, labels)
    assert found.corrected is None
    assert "above the judge's own" in (found.corrected_refused or "")


def test_answers_of_a_conversation_are_counted_as_one() -> None:
    judgments, labels = crowd(400, 400)
    of_ten = [
        msgspec.structs.replace(each, conversation_id=f"c{number // 10}")
        for number, each in enumerate(judgments)
    ]
    (found,) = agreements(of_ten, labels)
    assert (found.judged, found.conversations) == (400, 40)
    assert found.corrected is not None
    assert found.corrected.conversations == 40
    assert found.corrected.alone is not None
