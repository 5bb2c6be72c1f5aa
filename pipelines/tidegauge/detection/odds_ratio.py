"""Two versions side by side: an interval of their odds ratio that holds at all times at once.

In a window in which both versions answer, the router decides which one gets a request. Given how
many requests each answered and how many of all show a property, the number among the new
version's follows Fisher's noncentral hypergeometric distribution, which depends on the odds ratio
alone: not on the rate, which may wander with load and topics, nor on the split, which may grow
from window to window. The product of these likelihoods is compared with its average over a
prior (Robbins' method of mixtures; Ville's inequality).

Source of the conditional likelihood: Cox, "The analysis of binary data" (1970), chapter 4.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln, logit, logsumexp

from tidegauge.detection.confidence import clopper_pearson

__all__ = ["add_window", "difference_interval", "no_windows", "odds_interval"]

Floats: TypeAlias = NDArray[np.float64]

_LOG_ODDS: Floats = np.linspace(-4.0, 4.0, 161)
_PRIOR_SD = 1.0
_RATES = 21


def no_windows() -> Floats:
    """Return the log-likelihood of each odds ratio before the first window, shape (161,)."""
    return np.zeros(_LOG_ODDS.size)


def add_window(log_likelihood: Floats, new: tuple[int, int], old: tuple[int, int]) -> Floats:
    """Add a window in which both versions answered.

    Args:
        log_likelihood: Of each odds ratio so far, shape (161,).
        new: The new version's hits and trials.
        old: The old version's hits and trials.
    """
    (hits, n), (others, m) = new, old
    total = hits + others
    support = np.arange(max(0, total - m), min(n, total) + 1)
    log_ways = _log_choose(n, support) + _log_choose(m, total - support)
    log_norm = logsumexp(log_ways[:, None] + np.outer(support, _LOG_ODDS), axis=0)
    ways = _log_choose(n, np.array(hits)) + _log_choose(m, np.array(others))
    return np.asarray(log_likelihood + ways + hits * _LOG_ODDS - log_norm)


def _log_choose(n: int, k: NDArray[np.int64]) -> Floats:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def odds_interval(log_likelihood: Floats, *, alpha: float) -> tuple[float, float]:
    """Return the interval of the log odds ratio, new over old, at all times at once.

    Args:
        log_likelihood: Of each odds ratio, shape (161,).
        alpha: Chance that the interval ever misses it.
    """
    prior = -0.5 * (_LOG_ODDS / _PRIOR_SD) ** 2
    mixture = logsumexp(log_likelihood + prior) - logsumexp(prior)
    kept = np.flatnonzero(mixture - log_likelihood < -np.log(alpha))
    if not kept.size:
        best = float(_LOG_ODDS[int(np.argmax(log_likelihood))])
        return best, best
    first, last = int(kept[0]), int(kept[-1])
    low = float(_LOG_ODDS[first - 1]) if first else -np.inf
    high = float(_LOG_ODDS[last + 1]) if last + 1 < _LOG_ODDS.size else np.inf
    return low, high


def difference_interval(
    log_odds: tuple[float, float], old: tuple[int, int], *, alpha: float
) -> tuple[float, float]:
    """Return the interval of the difference of rates, new minus old, that odds ratios stand for.

    Args:
        log_odds: The interval of the log odds ratio.
        old: The old version's hits and trials, which bound its rate.
        alpha: Chance that the old rate's interval misses it.
    """
    low, high = clopper_pearson(*old, alpha=alpha)
    rates = np.clip(np.linspace(low, high, _RATES), 1e-9, 1 - 1e-9)
    ends = [expit(logit(rates) + end) - rates for end in log_odds]
    return float(ends[0].min()), float(ends[1].max())
