"""A judge beside people: how far they agree, and what all answers are worth to people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tidegauge.quality.calibration import Calibrated, Scores, prediction_powered, rogan_gladen
from tidegauge.quality.errors import EstimateError
from tidegauge.quality.qualification import area_under_curve
from tidegauge.schemas.evaluations import JudgmentEvent

__all__ = ["Agreement", "agreements"]

_CUT: Final = 0.5
_FEWEST: Final = 2


@dataclass(frozen=True, slots=True)
class Agreement:
    """One score of one judge, compared with people's labels.

    Attributes:
        judge: Judge's name.
        specification_hash: Hash of its specification.
        score: Name of the score.
        judged: Answers scored.
        labelled: Of these, labelled.
        judge_mean: The judge's mean score over all answers.
        corrected: Mean label over all answers; None with fewer than two labels.
        area: Probability that an answer people like scores above one they do not like; None
            if all labels are alike.
        cross_check: Share of good answers by Rogan and Gladen, for scores in [0, 1]; None
            if it is refused.
        cross_check_refused: Why it is refused, None if it is not.
    """

    judge: str
    specification_hash: str
    score: str
    judged: int
    labelled: int
    judge_mean: float
    corrected: Calibrated | None
    area: float | None
    cross_check: float | None
    cross_check_refused: str | None


def agreements(
    judgments: Iterable[JudgmentEvent],
    labels: Mapping[str, tuple[float, float]],
    *,
    alpha: float = 0.05,
) -> tuple[Agreement, ...]:
    """Return every score of every judge, compared with people's labels.

    Scores of two specifications of a judge are never added up; a repeated judgment counts
    once; invalid judgments have no score and are left out.

    Args:
        judgments: Judgments on one slice of the traffic.
        labels: Request id -> mean label and the probability that a person was asked.
        alpha: Probability that an interval misses.
    """
    found: dict[tuple[str, str, str], dict[str, tuple[float, float]]] = {}
    for each in judgments:
        for score, value in each.scores.items():
            key = (each.judge, each.specification_hash, score)
            found.setdefault(key, {})[each.request_id] = (value, each.inclusion_probability)
    return tuple(_agreement(key, found[key], labels, alpha) for key in sorted(found))


def _agreement(
    key: tuple[str, str, str],
    scores: Mapping[str, tuple[float, float]],
    labels: Mapping[str, tuple[float, float]],
    alpha: float,
) -> Agreement:
    known = [request for request in scores if request in labels]
    rest = [scores[request] for request in scores if request not in labels]
    judged = Scores.of(
        [scores[request][0] for request in known], [labels[request][1] for request in known]
    )
    y = [labels[request][0] for request in known]
    every = Scores.of(*zip(*scores.values(), strict=True))
    enough = len(known) >= _FEWEST
    elsewhere = Scores.of([value for value, _ in rest], [chance for _, chance in rest])
    liked = [scores[r][0] for r in known if labels[r][0] >= _CUT]
    disliked = [scores[r][0] for r in known if labels[r][0] < _CUT]
    share, refused = _cross_check(scores, liked, disliked)
    judge, specification_hash, score = key
    area = area_under_curve(liked, disliked)
    return Agreement(
        judge=judge,
        specification_hash=specification_hash,
        score=score,
        judged=len(scores),
        labelled=len(known),
        judge_mean=float(every.weights @ every.values / every.weights.sum()),
        corrected=prediction_powered(elsewhere, judged, y, alpha=alpha) if enough else None,
        area=None if math.isnan(area) else area,
        cross_check=share,
        cross_check_refused=refused,
    )


def _cross_check(
    scores: Mapping[str, tuple[float, float]], liked: list[float], disliked: list[float]
) -> tuple[float | None, str | None]:
    if not all(0 <= value <= 1 for value, _ in scores.values()):
        return None, "its scores are not within 0 and 1"
    if not liked or not disliked:
        return None, "people liked all of the labelled answers, or none"
    sensitivity = sum(value >= _CUT for value in liked) / len(liked)
    specificity = sum(value < _CUT for value in disliked) / len(disliked)
    weights = [1 / chance for _, chance in scores.values()]
    positive = [w for w, (value, _) in zip(weights, scores.values(), strict=True) if value >= _CUT]
    try:
        share = rogan_gladen(
            math.fsum(positive) / math.fsum(weights),
            sensitivity=sensitivity,
            specificity=specificity,
        )
    except EstimateError as error:
        return None, str(error)
    return share, None
