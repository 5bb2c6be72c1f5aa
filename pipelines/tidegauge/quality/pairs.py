"""Agreement of a judge with people on which of two answers is better, asked in both orders.

If a judge's choice changes with the order, the judge prefers a position rather than an answer:
such a pair is a tie. The agreement of the answers' length alone is the baseline, since a judge
may go by nothing but the length.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from tidegauge.quality.errors import EstimateError

__all__ = ["Choice", "Pair", "Preference", "pair_agreement", "preference"]

Choice: TypeAlias = Literal["1", "2"] | None
"""Number of the preferred answer, independent of the order shown; None for no verdict."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one prompt, of which a person prefers one.

    Attributes:
        label: The better answer.
        in_order: The judge's choice with the first answer shown first.
        swapped: The judge's choice with the second answer shown first.
        lengths: Characters of both answers.
    """

    label: Literal["1", "2"]
    in_order: Choice
    swapped: Choice
    lengths: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Preference:
    """How a judge agrees with people on pairs.

    Attributes:
        pairs: Pairs judged.
        accuracy: Share decided as people do, each of the two orders counting half.
        settled_accuracy: Share decided as people do in both orders; ties are not.
        ties: Share in which its choice changed with the order, or it gave no verdict.
        shorter: Share on which the shorter answer is the better one: the baseline by length.
    """

    pairs: int
    accuracy: float
    settled_accuracy: float
    ties: float
    shorter: float


def preference(pair: Pair) -> Choice:
    """Return the answer that a judge prefers in both orders, None for a tie.

    Example:
        >>> preference(Pair("1", "1", "1", (5, 9)))
        '1'
        >>> preference(Pair("1", "1", "2", (5, 9))) is None
        True
    """
    return pair.in_order if pair.in_order == pair.swapped else None


def pair_agreement(pairs: Iterable[Pair]) -> Preference:
    """Return a judge's agreement with people.

    Raises:
        EstimateError: There are no pairs.
    """
    seen = list(pairs)
    if not seen:
        raise EstimateError("agreement needs at least one pair")
    n = len(seen)
    right = sum(preference(pair) == pair.label for pair in seen)
    halves = sum((pair.in_order == pair.label) + (pair.swapped == pair.label) for pair in seen)
    shorter = sum("12"[pair.lengths[1] < pair.lengths[0]] == pair.label for pair in seen)
    return Preference(
        pairs=n,
        accuracy=halves / (2 * n),
        settled_accuracy=right / n,
        ties=sum(preference(pair) is None for pair in seen) / n,
        shorter=shorter / n,
    )
