"""Confidence intervals for rates and bounded means, for one time or for all times at once.

``clopper_pearson`` is exact for one time. ``mean_sequence`` holds at all times at once: it may be
computed after every number, and counting may stop at any time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv

from tidegauge.detection.errors import EngineError

__all__ = ["MeanBets", "bet", "clopper_pearson", "mean_sequence", "no_bets"]

Floats: TypeAlias = NDArray[np.float64]

_BISECTIONS = 60
_MEANS = 1001
_BET_SIZES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)


def clopper_pearson(
    hits: ArrayLike, trials: ArrayLike, *, alpha: ArrayLike
) -> tuple[Floats, Floats]:
    """Return the exact interval of a rate, which misses it with probability at most ``alpha``.

    Args:
        hits: Counts, any shape; fractions are allowed (pseudo-counts).
        trials: Numbers of events, of the same shape.
        alpha: Chance that the interval misses the rate, half of it on each side; one
            number, or one for each rate.

    Source: Clopper and Pearson, Biometrika 26 (1934), through beta quantiles.

    Example:
        >>> low, high = clopper_pearson(0, 10, alpha=0.05)
        >>> float(low), round(float(high), 3)
        (0.0, 0.308)
    """
    x, n = np.broadcast_arrays(np.asarray(hits, float), np.asarray(trials, float))
    misses, alpha = n - x, np.asarray(alpha, float)
    with np.errstate(invalid="ignore"):
        low = np.where(x > 0, betaincinv(np.maximum(x, 1e-12), misses + 1, alpha / 2), 0.0)
        high = np.where(
            misses > 0, betaincinv(x + 1, np.maximum(misses, 1e-12), 1 - alpha / 2), 1.0
        )
    return np.asarray(low, float), np.asarray(high, float)


@dataclass(frozen=True, slots=True)
class MeanBets:
    """Wealth of bets against each possible mean of a bounded number.

    Attributes:
        means: Candidate means on a grid, shape (M,).
        bet_sizes: Stakes of both signs, shape (L,).
        log_wealth: Shape (M, L).
        spread: No number lies further than this from any candidate mean.
        n: Numbers seen.
    """

    means: Floats
    bet_sizes: Floats
    log_wealth: Floats
    spread: float
    n: int


def no_bets(*, low: float = 0.0, high: float = 1.0, spread: float | None = None) -> MeanBets:
    """Return the state before the first number.

    Args:
        low: Least possible mean.
        high: Largest possible mean.
        spread: Largest distance of a number from a possible mean; ``high - low`` if None.
            For a number in [0, 1] over its inclusion probability it is ``1 / pi_min``.
    """
    if not low < high:
        raise EngineError(f"a mean needs low < high, got [{low}, {high}]")
    reach = high - low if spread is None else spread
    one_sided = 0.5 / reach * np.array(_BET_SIZES)
    bet_sizes = np.concatenate([one_sided, -one_sided])
    means = np.linspace(low, high, _MEANS)
    return MeanBets(means, bet_sizes, np.zeros((_MEANS, bet_sizes.size)), reach, 0)


def bet(state: MeanBets, numbers: ArrayLike) -> MeanBets:
    """Add numbers to the wealth, in the order given.

    Raises:
        EngineError: A number is not finite, or further than ``spread`` from a possible mean.
    """
    log_wealth, values = state.log_wealth, np.asarray(numbers, float).ravel()
    low, high = state.means[-1] - state.spread, state.means[0] + state.spread
    bad = values[~((values >= low - 1e-9) & (values <= high + 1e-9))]
    if bad.size:
        raise EngineError(
            f"a number of [{low:g}, {high:g}] was promised, got {bad[0]!r}: widen the spread"
        )
    for value in values:
        log_wealth = log_wealth + np.log1p(
            state.bet_sizes[None, :] * (value - state.means)[:, None]
        )
    return MeanBets(state.means, state.bet_sizes, log_wealth, state.spread, state.n + values.size)


def mean_sequence(state: MeanBets, *, alpha: float) -> tuple[float, float]:
    """Return an interval of the mean that holds at all times at once.

    It holds the means against which a mixture of bets of both signs has not won
    ``1 / alpha`` times its stake: Waudby-Smith and Ramdas, "Estimating means of bounded random
    variables by betting" (2023).
    """
    top = state.log_wealth.max(axis=1, keepdims=True)
    wealth = top[:, 0] + np.log(np.exp(state.log_wealth - top).mean(axis=1))
    kept = state.means[wealth < -np.log(alpha)]
    if not kept.size:
        middle = float(state.means[np.argmin(wealth)])
        return middle, middle
    step = float(state.means[1] - state.means[0])
    low = max(float(kept[0]) - step, float(state.means[0]))
    high = min(float(kept[-1]) + step, float(state.means[-1]))
    return low, high
