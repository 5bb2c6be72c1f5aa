"""One number per answer whose mean is the true quality, whoever has looked at it.

``Z = g + (xiJ / piJ) (s - g) + (xiH / piH) (Y - s)``: g is an arbitrary guess for every answer,
s the judge's score of a judged answer, Y a person's label of a labelled one. However wrong g and
s are, Z is unbiased for the label if g is fixed beforehand and the two probabilities are the
true ones; without people's labels it is unbiased for the judge's score.
"""

from __future__ import annotations

from dataclasses import dataclass

from tidegauge.detection.confidence import MeanBets, no_bets
from tidegauge.quality.errors import EstimateError

__all__ = ["Observation", "quality_bets", "unbiased_score"]


@dataclass(frozen=True, slots=True)
class Observation:
    """A judge's or a person's score of one answer, with its inclusion probability.

    Attributes:
        score: The score; None if the answer was not drawn.
        probability: Inclusion probability, in (0, 1].
    """

    score: float | None
    probability: float

    def __post_init__(self) -> None:
        """Check the probability.

        Raises:
            EstimateError: The probability is not in (0, 1].
        """
        if not 0 < self.probability <= 1:
            raise EstimateError(f"an inclusion probability lies in (0, 1], got {self.probability}")


def unbiased_score(guess: float, judge: Observation, person: Observation | None = None) -> float:
    """Return Z for one answer.

    Args:
        guess: g, fixed before the answer was judged.
        judge: The judge's score, if any, with its probability.
        person: A person's label, if any, with the probability that a person was asked; None if
            no answers are given to people. People are asked about judged answers only.

    Raises:
        EstimateError: A person has labelled an answer that the judge has not judged.

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
    """Return bets on the mean of Z, in their state before the first answer.

    Scores, guesses and labels lie in [0, 1]; a Z lies no further from a possible mean than
    ``1 / floor`` with judges alone, and ``1 / floor + 1 / person_floor`` with people's labels.

    Args:
        floor: Least inclusion probability of the judge.
        person_floor: Least probability that an answer is given to a person; None if no answers
            are given to people.
    """
    reach = 1 / floor + (0 if person_floor is None else 1 / person_floor)
    return no_bets(low=0.0, high=1.0, spread=reach)
