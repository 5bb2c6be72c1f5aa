"""A cheap judge on all traffic makes the scores of an expensive one on a few answers more precise.

The likelihood judge runs on all answers; its fluency is correlated with the score that the
rubric judge, or a person, gives. Two estimates use that, and both are valid however poor the
guess is: ``assisted`` for one look (PPI++, with the expensive judge's scores as labels),
``sequential_mean`` for every look (the mean of ``streaming``'s Z, by bets).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tidegauge.detection.confidence import bet, mean_sequence
from tidegauge.quality.calibration import Calibrated, Labels, Scores, prediction_powered
from tidegauge.quality.errors import EstimateError
from tidegauge.quality.labels import MeanLabel
from tidegauge.quality.streaming import Observation, quality_bets, unbiased_score
from tidegauge.schemas.evaluations import JudgmentEvent

__all__ = ["PairedScores", "SequentialMean", "assisted", "paired_scores", "sequential_mean"]

_UNKNOWN: Final = 0.5
_LEARNT: Final = 20


@dataclass(frozen=True, slots=True)
class PairedScores:
    """Both judges' scores of one answer.

    Attributes:
        time_ms: The answer's event time.
        request_id: Id of the answer's request.
        conversation: Name of its conversation.
        guess: The cheap judge's score.
        guess_chance: Inclusion probability for the cheap judge.
        score: The expensive judge's score; None if the answer was not drawn for it.
        score_chance: Inclusion probability for the expensive judge; if the answer was not
            drawn, that of the nearest drawn one.
    """

    time_ms: int
    request_id: str
    conversation: str
    guess: float
    guess_chance: float
    score: float | None
    score_chance: float


@dataclass(frozen=True, slots=True)
class SequentialMean:
    """A mean with a confidence sequence, which is valid after every conversation.

    Attributes:
        mean: Mean over conversations of the mean Z of their answers.
        low: Lower end of the sequence.
        high: Upper end.
        answers: Number of answers, judged by the expensive judge or not.
        conversations: Conversations that they are from.
        judged: Of these, judged by the expensive judge.
        labelled: Of these, labelled by people.
    """

    mean: float
    low: float
    high: float
    answers: int
    conversations: int
    judged: int
    labelled: int


def paired_scores(
    judgments: Iterable[JudgmentEvent], *, expensive: tuple[str, str], cheap: tuple[str, str]
) -> tuple[PairedScores, ...]:
    """Return the answers that the cheap judge has scored, in order of time.

    Only each judge's newest specification counts: scores of two are never added up.

    Args:
        judgments: Judgments on one slice of the traffic.
        expensive: The expensive judge's name and the name of its score.
        cheap: The cheap judge's name and the name of its score.
    """
    newest: dict[str, tuple[int, str]] = {}
    found = list(judgments)
    for each in found:
        newest[each.judge] = max(
            newest.get(each.judge, (0, "")), (each.time_ms, each.specification_hash)
        )
    guesses, scores = (
        {
            each.request_id: each
            for each in found
            if each.judge == judge
            and each.specification_hash == newest[judge][1]
            and name in each.scores
        }
        for judge, name in (cheap, expensive)
    )
    chance = 1.0
    answers: list[PairedScores] = []
    for guess in sorted(guesses.values(), key=lambda each: (each.time_ms, each.request_id)):
        score = scores.get(guess.request_id)
        chance = chance if score is None else score.inclusion_probability
        answers.append(
            PairedScores(
                time_ms=guess.time_ms,
                request_id=guess.request_id,
                conversation=guess.conversation_id or guess.request_id,
                guess=guess.scores[cheap[1]],
                guess_chance=guess.inclusion_probability,
                score=None if score is None else score.scores[expensive[1]],
                score_chance=chance,
            )
        )
    return tuple(answers)


def assisted(answers: Iterable[PairedScores], *, alpha: float = 0.05) -> Calibrated | None:
    """Return the expensive judge's mean over all answers, helped by the cheap judge.

    Both samples are drawn by the same number, so that every answer of the expensive sample is in
    the cheap one.

    Returns:
        The estimate for one look; None if there is none, such as with fewer than two expensive
        scores.
    """
    seen = [
        each for each in answers if each.score is None or each.score_chance <= each.guess_chance
    ]
    both = [(row, each) for row, each in enumerate(seen) if each.score is not None]
    try:
        return prediction_powered(
            Scores.of(
                [each.guess for each in seen],
                [each.guess_chance for each in seen],
                [each.conversation for each in seen],
            ),
            Labels.of(
                [row for row, _ in both],
                [each.score for _, each in both if each.score is not None],
                [each.score_chance for _, each in both],
            ),
            alpha=alpha,
        )
    except EstimateError:
        return None


def sequential_mean(
    answers: Iterable[PairedScores],
    labels: Mapping[str, MeanLabel] | None = None,
    *,
    alpha: float = 0.05,
) -> SequentialMean | None:
    """Return the mean quality of conversations with an interval that holds at every look.

    The guess g is a straight-line fit of the expensive scores before, so it is fixed before
    each answer is judged. A conversation enters once, with the mean of its answers.

    Args:
        answers: Answers in order of time; the cheap judge must have judged all traffic.
        labels: Request id -> label in [0, 1] with its chance.
        alpha: Probability that the interval ever misses the mean.

    Returns:
        The estimate; None if the cheap judge has not judged all answers, the expensive one has
        judged none, its scores are not within 0 and 1, or a label does not say its chance.
    """
    seen, known = list(answers), labels or {}
    scored = [each for each in seen if each.score is not None]
    asked = [known[each.request_id] for each in scored if each.request_id in known]
    chances = [label.chance for label in asked if label.chance is not None]
    whole = all(each.guess_chance == 1 for each in seen) and len(chances) == len(asked)
    if not scored or not whole or any(not 0 <= (each.score or 0) <= 1 for each in scored):
        return None
    state = quality_bets(
        floor=min(each.score_chance for each in scored),
        person_floor=min(chances, default=None),
    )
    by_conversation: dict[str, list[float]] = {}
    line = _Line()
    for each in seen:
        score = Observation(each.score, each.score_chance)
        person = None if each.score is None else _person(known.get(each.request_id))
        number = unbiased_score(line.guess(each.guess), score, person)
        by_conversation.setdefault(each.conversation, []).append(number)
        if each.score is not None:
            line.learn(each.guess, each.score)
    numbers = [math.fsum(found) / len(found) for found in by_conversation.values()]
    low, high = mean_sequence(bet(state, numbers), alpha=alpha)
    return SequentialMean(
        mean=math.fsum(numbers) / len(numbers),
        low=low,
        high=high,
        answers=len(seen),
        conversations=len(numbers),
        judged=len(scored),
        labelled=len(asked),
    )


def _person(label: MeanLabel | None) -> Observation | None:
    if label is None or label.chance is None:
        return None
    return Observation(label.score, label.chance)


class _Line:
    """A straight-line fit of the pairs so far; its guesses are clipped to [0, 1]."""

    def __init__(self) -> None:
        self._n = 0
        self._x = self._y = self._xx = self._xy = 0.0

    def learn(self, x: float, y: float) -> None:
        self._n += 1
        step = x - self._x
        self._x += step / self._n
        self._xx += step * (x - self._x)
        rise = y - self._y
        self._y += rise / self._n
        self._xy += step * (y - self._y)

    def guess(self, x: float) -> float:
        if self._n < _LEARNT:
            return self._y if self._n else _UNKNOWN
        slope = self._xy / self._xx if self._xx > 0 else 0.0
        return min(1.0, max(0.0, self._y + slope * (x - self._x)))
