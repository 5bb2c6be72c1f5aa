"""Qualification of a judge: only one that tells known good from known bad answers may alarm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, variance
from typing import Final

__all__ = [
    "ALPHA",
    "LEAST_SCORED",
    "THRESHOLD",
    "Qualification",
    "Separation",
    "area_interval",
    "area_under_curve",
    "lower_bound",
    "qualify",
]

THRESHOLD: Final = 0.7
"""Area under the curve that a judge's lower bound must reach for a kind of badness."""

LEAST_SCORED: Final = 0.8
"""Least share of the golden answers that a judge must score."""

ALPHA: Final = 0.05
"""Probability that a judge qualifies for a kind of badness that it cannot detect."""

_HALVINGS: Final = 60
_TAIL: Final = 0.025


@dataclass(frozen=True, slots=True)
class Separation:
    """How well one score separates one kind of bad answers from good ones.

    Attributes:
        kind: Kind of badness.
        score: Name of the score.
        area: Probability that a good answer scores above a bad one, ties counting half.
        low: Lower confidence bound of ``area``.
        good: Good answers that got a score.
        bad: Bad answers that got a score.
    """

    kind: str
    score: str
    area: float
    low: float
    good: int
    bad: int

    @property
    def qualified(self) -> bool:
        """Whether the bound reaches the threshold."""
        return self.low >= THRESHOLD


@dataclass(frozen=True, slots=True)
class Qualification:
    """The result of a judge's test on the golden set.

    Attributes:
        separations: One for each kind of badness and score.
        scored: Golden answers that got a score.
        asked: Golden answers that the judge was tested on.
    """

    separations: tuple[Separation, ...] = field(default_factory=tuple)
    scored: int = 0
    asked: int = 0

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of badness that some score detects."""
        return tuple(dict.fromkeys(each.kind for each in self.separations if each.qualified))

    @property
    def qualified(self) -> bool:
        """Whether it may alarm: it scores most answers, and each score detects some badness."""
        scores = {each.score for each in self.separations}
        useful = {each.score for each in self.separations if each.qualified}
        answers = self.scored >= LEAST_SCORED * self.asked
        return answers and bool(scores) and scores == useful

    @property
    def promising(self) -> bool:
        """Whether more answers could qualify it: each score reaches the threshold somewhere."""
        scores = {each.score for each in self.separations}
        near = {each.score for each in self.separations if each.area >= THRESHOLD}
        return bool(scores) and scores == near


def area_under_curve(good: Sequence[float], bad: Sequence[float]) -> float:
    """Return the share of pairs in which the good answer scores higher, ties counting half.

    Example:
        >>> area_under_curve([3, 2], [1, 2])
        0.875
    """
    if not good or not bad:
        return math.nan
    won = math.fsum((g > b) + 0.5 * (g == b) for g in good for b in bad)
    return won / (len(good) * len(bad))


def area_interval(good: Sequence[float], bad: Sequence[float]) -> tuple[float, float]:
    """Return the 95% interval of the area under the curve, by its normal approximation.

    Answers that are told apart without an error have no variance: their interval is that of
    ``lower_bound``.

    Source: DeLong, DeLong and Clarke-Pearson, "Comparing the areas under two or more correlated
    receiver operating characteristic curves", Biometrics 44 (1988), equations 4 to 6.

    Example:
        >>> low, high = area_interval([3, 4, 5, 6], [1, 2, 4, 3])
        >>> round(low, 2), round(high, 2)
        (0.63, 1.0)
    """
    if min(len(good), len(bad)) < 2:  # noqa: PLR2004 - one has no variance
        return 0.0, 1.0
    area = area_under_curve(good, bad)
    of_good = [area_under_curve([each], bad) for each in good]
    of_bad = [area_under_curve(good, [each]) for each in bad]
    spread = variance(of_good) / len(good) + variance(of_bad) / len(bad)
    if not spread:
        pairs = min(len(good), len(bad))
        wrong = lower_bound(1 - area, pairs, alpha=_TAIL)
        return lower_bound(area, pairs, alpha=_TAIL), 1 - wrong
    half = NormalDist().inv_cdf(1 - _TAIL) * math.sqrt(spread)
    return max(0.0, area - half), min(1.0, area + half)


def lower_bound(area: float, pairs: int, *, alpha: float = ALPHA) -> float:
    """Return a lower bound of the true area, which is wrong with probability at most ``alpha``.

    A two-sample U-statistic over ``pairs = min(good, bad)`` is an average of averages of
    that many independent comparisons, so the binomial's Chernoff bound holds for it at any
    size: the bound is the p with ``pairs * KL(area || p) = log(1 / alpha)``. It is wider than
    DeLong's and does not assume normality, which fails near 1.

    Source: Hoeffding, "Probability inequalities for sums of bounded random variables"
    (1963), theorem 1 and section 5a.

    Example:
        >>> round(lower_bound(0.96, 40), 2)
        0.84
    """
    if pairs < 1 or not area > 0:
        return 0.0
    wanted = -math.log(alpha) / pairs
    low, high = 0.0, area
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _divergence(area, middle) > wanted else (low, middle)
    return low


def qualify(
    good: Mapping[str, Sequence[float]],
    bad: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    asked: int,
    alpha: float = ALPHA,
) -> Qualification:
    """Return a judge's qualification by its scores of the golden answers.

    Args:
        good: Score's name -> its values on the good answers.
        bad: Kind of badness -> score's name -> its values on that kind's answers.
        asked: Golden answers that the judge was tested on, with those without a score.
        alpha: Probability that a bound is wrong, for each kind of badness; the scores share it.
    """
    separations = tuple(
        _separation(kind, score, good.get(score, ()), values, alpha / max(1, len(by_score)))
        for kind, by_score in bad.items()
        for score, values in by_score.items()
    )
    scored = max(map(len, good.values()), default=0) + sum(
        max(map(len, by_score.values()), default=0) for by_score in bad.values()
    )
    return Qualification(separations, scored, asked)


def _separation(
    kind: str, score: str, good: Sequence[float], bad: Sequence[float], alpha: float
) -> Separation:
    area = area_under_curve(good, bad)
    low = lower_bound(area, min(len(good), len(bad)), alpha=alpha)
    return Separation(kind, score, area, low, len(good), len(bad))


def _divergence(a: float, p: float) -> float:
    if p <= 0:
        return math.inf
    rest = (1 - a) * math.log((1 - a) / (1 - p)) if a < 1 else 0.0
    return a * math.log(a / p) + rest
