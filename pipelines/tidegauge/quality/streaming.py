"""One number per answer whose mean is the true quality, whoever has looked at it.

``Z = g + (xiJ / piJ) (s - g) + (xiH / piH) (Y - s)``: g is a free guess for every answer, s
the judge's score where it was asked, Y a person's label where there is one. Whatever g and s
are, and however wrong, Z is unbiased for the label as long as g is fixed beforehand and the
two probabilities are the true ones; where no person is asked, for the judge's own score.
"""

from __future__ import annotations

from dataclasses import dataclass

from tidegauge.detection.confidence import MeanBets, no_bets
from tidegauge.quality.errors import EstimateError

__all__ = ["Observation", "quality_bets", "unbiased_score"]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a judge or a person said of one answer, if asked.

    Attributes:
        score: What was found; None when it was not asked for.
        probability: Chance that it was asked for, in (0, 1].
    """

    score: float | None
    probability: float

    def __post_init__(self) -> None:
        """Refuse a chance that is none.

        Raises:
            EstimateError: The probability is not in (0, 1].
        """
        if not 0 < self.probability <= 1:
            raise EstimateError(f"an inclusion probability lies in (0, 1], got {self.probability}")


def unbiased_score(guess: float, judge: Observation, person: Observation | None = None) -> float:
    """Return Z for one answer.

    Args:
        guess: g, fixed before the answer was looked at.
        judge: What the judge found.
        person: What a person found, and the chance that a person was asked; None where no
            answer is given to people. People are asked among judged answers.

    Raises:
        EstimateError: A person has looked at an answer that the judge has not.

    Example:
        >>> unbiased_score(0.5, Observation(None, 0.1))
        0.5
        >>> round(unbiased_score(0.5, Observation(0.7, 0.1)), 3)
        2.5
    """
    if judge.score is None:
        if person is not None and person.score is not None:
            raise EstimateError("people are asked among judged answers: this one has no score")
        return guess
    found = guess + (judge.score - guess) / judge.probability
    if person is not None and person.score is not None:
        found += (person.score - judge.score) / person.probability
    return found


def quality_bets(*, floor: float, person_floor: float | None = None) -> MeanBets:
    """Return the bets to follow the mean of Z with, from no answer on.

    Scores, guesses and labels lie in [0, 1]; a Z lies no further from a possible mean than
    ``1 / floor`` where only judges look, and ``1 / floor + 1 / person_floor`` else.

    Args:
        floor: Least inclusion probability of the judge.
        person_floor: Least chance that an answer is given to a person; None where none is.
    """
    reach = 1 / floor + (0 if person_floor is None else 1 / person_floor)
    return no_bets(low=0.0, high=1.0, spread=reach)
