"""A judge beside people: how far they agree, and what all answers are worth to people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tidegauge.quality.calibration import (
    Calibrated,
    CorrectedShare,
    Floats,
    Labels,
    Scores,
    corrected_share,
    prediction_powered,
)
from tidegauge.quality.errors import EstimateError
from tidegauge.quality.labels import MeanLabel
from tidegauge.quality.qualification import area_under_curve
from tidegauge.schemas.evaluations import JudgmentEvent

__all__ = ["Agreement", "agreements", "estimated_chances"]

_CUT: Final = 0.5
_MOST_STRATA: Final = 5
_LABELS_A_STRATUM: Final = 10


@dataclass(frozen=True, slots=True)
class Agreement:
    """One score of one judge, compared with people's labels.

    Attributes:
        judge: Judge's name.
        specification_hash: Hash of its specification.
        score: Name of the score.
        judged: Answers scored.
        conversations: Conversations that they are from.
        labelled: Of the answers, labelled.
        judge_mean: The judge's mean score over all answers.
        corrected: Mean label over all answers; None if there is no such estimate.
        corrected_refused: Why there is none; None if there is.
        chances_estimated: Whether labels did not say how likely they were, so that it was
            estimated from how many answers of a similar score are labelled.
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
    conversations: int
    labelled: int
    judge_mean: float
    corrected: Calibrated | None
    corrected_refused: str | None
    chances_estimated: bool
    area: float | None
    cross_check: CorrectedShare | None
    cross_check_refused: str | None


def agreements(
    judgments: Iterable[JudgmentEvent],
    labels: Mapping[str, MeanLabel],
    *,
    alpha: float = 0.05,
) -> tuple[Agreement, ...]:
    """Return every score of every judge, compared with people's labels.

    Scores of two specifications of a judge are never added up; a repeated judgment counts
    once. Judgments on whole conversations are left out: people label answers.

    Args:
        judgments: Judgments on one slice of the traffic.
        labels: Request id -> mean label.
        alpha: Probability that an interval misses.
    """
    found: dict[tuple[str, str, str], dict[str, JudgmentEvent]] = {}
    for each in judgments:
        if each.unit != "answer":
            continue
        for score in each.scores:
            key = (each.judge, each.specification_hash, score)
            found.setdefault(key, {})[each.request_id] = each
    return tuple(_agreement(key, found[key], labels, alpha) for key in sorted(found))


def _agreement(
    key: tuple[str, str, str],
    judgments: Mapping[str, JudgmentEvent],
    labels: Mapping[str, MeanLabel],
    alpha: float,
) -> Agreement:
    judge, specification_hash, score = key
    judged = Scores.of(
        [each.scores[score] for each in judgments.values()],
        [each.inclusion_probability for each in judgments.values()],
        [each.conversation_id or each.request_id for each in judgments.values()],
    )
    known = [(row, labels[request]) for row, request in enumerate(judgments) if request in labels]
    rows = [row for row, _ in known]
    estimated = any(label.chance is None for _, label in known)
    corrected, refused = None, None
    share, share_refused = None, None
    try:
        labels_found = _labels(judged, known)
        corrected = prediction_powered(judged, labels_found, alpha=alpha)
    except EstimateError as error:
        refused = share_refused = str(error)
    else:
        try:
            share = corrected_share(judged, labels_found, alpha=alpha)
        except EstimateError as error:
            share_refused = str(error)
    scores = judged.values[rows] if rows else judged.values[:0]
    liked = [float(s) for s, (_, y) in zip(scores, known, strict=True) if y.score >= _CUT]
    disliked = [float(s) for s, (_, y) in zip(scores, known, strict=True) if y.score < _CUT]
    area = area_under_curve(liked, disliked)
    return Agreement(
        judge=judge,
        specification_hash=specification_hash,
        score=score,
        judged=judged.values.size,
        conversations=int(judged.clusters.max()) + 1,
        labelled=len(known),
        judge_mean=judged.mean,
        corrected=corrected,
        corrected_refused=refused,
        chances_estimated=estimated,
        area=None if math.isnan(area) else area,
        cross_check=share,
        cross_check_refused=share_refused,
    )


def _labels(judged: Scores, known: Sequence[tuple[int, MeanLabel]]) -> Labels:
    rows = np.asarray([row for row, _ in known], np.intp)
    given = [label.chance for _, label in known if label.chance is not None]
    return Labels.of(
        rows,
        [label.score for _, label in known],
        given if len(given) == len(known) else estimated_chances(judged, rows),
    )


def estimated_chances(judged: Scores, rows: Sequence[int] | np.ndarray) -> Floats:
    """Return the probability of each label, where no label says its own.

    It is the judge's own times the share of labelled answers among those of a similar score:
    answers are cut into at most five strata by score, of at least ten labels on average. That is
    right as far as people were asked by score, and otherwise at random.

    Args:
        judged: The judge's scores.
        rows: Which of them are labelled, shape (n,).

    Raises:
        EstimateError: A stratum has answers and no label.
    """
    labelled = np.zeros(judged.values.size, bool)
    labelled[rows] = True
    count = min(_MOST_STRATA, max(1, len(rows) // _LABELS_A_STRATUM))
    edges = np.quantile(judged.values, np.linspace(0, 1, count + 1)[1:-1])
    strata = np.searchsorted(edges, judged.values, side="right")
    total = np.bincount(strata, minlength=count)
    shares = np.bincount(strata[labelled], minlength=count) / np.maximum(1, total)
    if (shares[total > 0] == 0).any():
        raise EstimateError(
            "labels do not say their inclusion_probability, and it cannot be estimated: answers "
            "of some scores have no label at all"
        )
    found: Floats = shares[strata[rows]] / judged.weights[rows]
    return found
