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
from tidegauge.quality.calibration import Calibrated, Scores, prediction_powered
from tidegauge.quality.streaming import Observation, quality_bets, unbiased_score
from tidegauge.schemas.evaluations import JudgmentEvent

__all__ = ["PairedScores", "SequentialMean", "assisted", "paired_scores", "sequential_mean"]

_FEWEST: Final = 2
_UNKNOWN: Final = 0.5
_LEARNT: Final = 20


@dataclass(frozen=True, slots=True)
class PairedScores:
    """Both judges' scores of one answer.

    Attributes:
        time_ms: The answer's event time.
        request_id: Id of the answer's request.
        guess: The cheap judge's score.
        guess_chance: Inclusion probability for the cheap judge.
        score: The expensive judge's score; None if the answer was not drawn for it.
        score_chance: Inclusion probability for the expensive judge; if the answer was not
            drawn, that of the nearest drawn one.
    """

    time_ms: int
    request_id: str
    guess: float
    guess_chance: float
    score: float | None
    score_chance: float


@dataclass(frozen=True, slots=True)
class SequentialMean:
    """A mean with a confidence sequence, which is valid after every answer.

    Attributes:
        mean: Mean of Z.
        low: Lower end of the sequence.
        high: Upper end.
        answers: Number of answers, judged by the expensive judge or not.
        judged: Of these, judged by the expensive judge.
        labelled: Of these, labelled by people.
    """

    mean: float
    low: float
    high: float
    answers: int
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
                guess=guess.scores[cheap[1]],
                guess_chance=guess.inclusion_probability,
                score=None if score is None else score.scores[expensive[1]],
                score_chance=chance,
            )
        )
    return tuple(answers)


def assisted(answers: Iterable[PairedScores], *, alpha: float = 0.05) -> Calibrated | None:
    """Return the expensive judge's mean over all answers, helped by the cheap judge.

    Both samples are drawn by the same number, so the probability of being in the cheap sample
    alone is the difference of the two inclusion probabilities.

    Returns:
        The estimate for one look; None with fewer than two expensive scores.
    """
    seen = list(answers)
    both = [each for each in seen if each.score is not None]
    alone = [each for each in seen if each.score is None and each.guess_chance > each.score_chance]
    if len(both) < _FEWEST:
        return None
    return prediction_powered(
        Scores.of(
            [each.guess for each in alone],
            [each.guess_chance - each.score_chance for each in alone],
        ),
        Scores.of([each.guess for each in both], [each.score_chance for each in both]),
        [each.score for each in both if each.score is not None],
        alpha=alpha,
    )


def sequential_mean(
    answers: Iterable[PairedScores],
    labels: Mapping[str, tuple[float, float]] | None = None,
    *,
    alpha: float = 0.05,
) -> SequentialMean | None:
    """Return the mean quality with an interval that holds at every look.

    The guess g is a straight-line fit of the expensive scores before, so it is fixed before
    each answer is judged.

    Args:
        answers: Answers in order of time; the cheap judge must have judged all traffic.
        labels: Request id -> label in [0, 1] and the probability that a person was asked.
        alpha: Probability that the interval ever misses the mean.

    Returns:
        The estimate; None if the cheap judge has not judged all answers, the expensive one has
        judged none, or its scores are not within 0 and 1.
    """
    seen, known = list(answers), labels or {}
    scored = [each for each in seen if each.score is not None]
    whole = all(each.guess_chance == 1 for each in seen)
    if not scored or not whole or any(not 0 <= (each.score or 0) <= 1 for each in scored):
        return None
    asked = [known[each.request_id] for each in scored if each.request_id in known]
    state = quality_bets(
        floor=min(each.score_chance for each in scored),
        person_floor=min((chance for _, chance in asked), default=None),
    )
    line, numbers = _Line(), []
    for each in seen:
        label, chance = known.get(each.request_id, (None, 1.0))
        judged = each.score is not None
        person = Observation(label, chance) if judged and label is not None else None
        guess = line.guess(each.guess)
        numbers.append(unbiased_score(guess, Observation(each.score, each.score_chance), person))
        if each.score is not None:
            line.learn(each.guess, each.score)
    low, high = mean_sequence(bet(state, numbers), alpha=alpha)
    return SequentialMean(
        mean=math.fsum(numbers) / len(numbers),
        low=low,
        high=high,
        answers=len(seen),
        judged=len(scored),
        labelled=len(asked),
    )


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
