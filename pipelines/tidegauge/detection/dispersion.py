"""Dispersion: how far rates wander over time by themselves, beyond the chance of counting.

Load, mix and callers change from minute to minute and from day to day, so a rate fluctuates by
more than the binomial while nothing is wrong. The excess is measured between blocks of time of
each length from ten seconds to a day, with an upper confidence bound: what a short baseline
cannot show is bounded by what it could have missed, never taken to be zero.

One block length is then chosen, beyond which the rates of successive blocks are nearly
independent; ``detection.e_detector`` treats a block's rate as a random draw with the dispersion
found. Where the fluctuation still grows at the longest length that the baseline has enough blocks
of, its correlation time is unknown, and the group of indicators is ``unresolved``.

Indicators are grouped: the cuts of one number move together, and so do the shares of one family.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, ndtri

__all__ = ["BLOCKS_MS", "FEWEST_BLOCKS", "Dispersion", "measure"]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

_MINUTE, _HOUR = 60_000, 3_600_000
BLOCKS_MS = (
    10_000,
    _MINUTE,
    5 * _MINUTE,
    10 * _MINUTE,
    30 * _MINUTE,
    _HOUR,
    3 * _HOUR,
    6 * _HOUR,
    12 * _HOUR,
    24 * _HOUR,
)
"""Lengths of blocks, milliseconds; each is a multiple of the one before."""
FEWEST_BLOCKS = 6
"""A length with fewer blocks in the baseline is unknown."""
_MISSED = 0.2
"""Chance that a dispersion is larger than its upper bound."""
_SIGNIFICANT = 0.01
_LONGER = 0.1
"""Chance that longer blocks seem to show more than independent blocks do, at one length."""
_FOLLOWS = 0.05
"""Chance that independent blocks seem to follow each other, at one length."""
_FEWEST_HITS, _FEWEST_OWN = 2.0, 5.0
"""Mean hits a block for a length to count, pooled over the group and of one indicator."""
_CERTAIN = 0.5
"""Expected misses below which a rate is 1."""


@dataclass(frozen=True, slots=True)
class Dispersion:
    """The dispersion of J rates.

    Attributes:
        block_ms: Length of the blocks whose rates are independent draws, shape (J,); 0 where no
            length has enough blocks, so that nothing is known.
        tau: Upper bound of the relative standard deviation of a block's rate, shape (J,).
        tau_within: The same for the first part of a block, by the part's length in
            ``BLOCKS_MS``, shape (K, J): larger than ``tau`` where rates fluctuate within blocks.
            A length without enough blocks or hits has that of the next longer one.
        waves: Whether the fluctuation is more than chance, shape (J,).
        unresolved: Whether its correlation time is longer than the baseline can show, shape (J,).
        wanted_ms: Length of a baseline that might show it; 0 where everything is resolved.
    """

    block_ms: Counts
    tau: Floats
    tau_within: Floats
    waves: NDArray[np.bool_]
    unresolved: NDArray[np.bool_]
    wanted_ms: int

    def wider(self, factor: float) -> Dispersion:
        """Return it with dispersions larger by a factor."""
        return replace(self, tau=self.tau * factor, tau_within=self.tau_within * factor)

    @property
    def tau_hour(self) -> Floats:
        """``tau`` for blocks of an hour, or of ``block_ms`` if that is longer, shape (J,)."""
        return np.asarray(self.tau_within[BLOCKS_MS.index(_HOUR)])


@dataclass(frozen=True, slots=True)
class _Pearson:
    """Pearson's statistic of some blocks, taken for a scaled chi-square variable.

    Attributes:
        found: Its value.
        mean: Its mean without dispersion.
        weight: What a squared dispersion of 1 adds to that.
        degrees: Degrees of freedom of the chi-square variable.
    """

    found: float
    mean: float
    weight: float
    degrees: float

    @property
    def squared(self) -> float:
        """The estimate of the squared dispersion."""
        return max(self.found - self.mean, 0.0) / self.weight

    @property
    def bound(self) -> float:
        """Its upper bound; infinite where the blocks exclude nothing."""
        least = self.mean * float(chdtri(self.degrees, 1 - _MISSED)) / self.degrees
        if not least:
            return math.inf
        return max(self.found * self.mean / least - self.mean, 0.0) / self.weight

    def exceeds(self, chance: float, squared: float = 0.0) -> bool:
        """Return whether the blocks fluctuate more than a squared dispersion explains.

        Args:
            chance: Chance that blocks with that dispersion do.
            squared: The squared dispersion.
        """
        most = float(chdtri(self.degrees, chance)) / self.degrees
        return self.found > most * (self.mean + squared * self.weight)


@dataclass(frozen=True, slots=True)
class _Scale:
    """What blocks of one length show of a group of G indicators.

    Attributes:
        length: Length of a block, milliseconds.
        pooled: The group's Pearson statistic.
        own: Estimate of each indicator's squared dispersion, shape (G,).
        bound: Upper bound of each indicator's squared dispersion, shape (G,).
        hits: Mean hits of a block by indicator, shape (G,).
        blocks: Number of blocks.
        following: Correlation of successive blocks, pooled over the group; 0 where slots of a
            season were fitted, since what they leave of a cycle follows itself.
    """

    length: int
    pooled: _Pearson
    own: Floats
    bound: Floats
    hits: Floats
    blocks: int
    following: float

    @property
    def follow_each_other(self) -> bool:
        """Whether successive blocks are more alike than independent ones are, but for chance.

        The correlation of n independent blocks with their next has a mean of about -1 / n and a
        standard deviation of 1 / sqrt(n) (Anderson, Annals of Mathematical Statistics 13, 1942).
        """
        usual = -1 / self.blocks
        return self.following > usual - float(ndtri(_FOLLOWS)) / math.sqrt(self.blocks)

    @property
    def significant(self) -> bool:
        """Whether the fluctuation is more than chance."""
        return self.pooled.exceeds(_SIGNIFICANT / len(BLOCKS_MS))

    def squared(self) -> Floats:
        """Return each indicator's bound: its own if there is one by enough hits, else the group's.

        The cuts of one number fluctuate unequally, its tails most: what an indicator shows itself
        is the least.
        """
        shown = np.maximum(self.pooled.bound, self.own)
        own = (self.hits >= _FEWEST_OWN) & np.isfinite(self.bound)
        return np.where(own, self.bound, shown)


def measure(  # noqa: PLR0913 - counts, where they are from, and what was fitted to them
    hits: Counts,
    expected: Floats,
    trials: Counts,
    times_ms: Counts,
    groups: Sequence[str],
    *,
    period_ms: int = 0,
) -> Dispersion:
    """Measure the dispersion of J rates over blocks of time.

    Args:
        hits: Counts by window, shape (B, J).
        expected: Expected hits by window, from the fitted rates, shape (B, J).
        trials: Trials by window, shape (B, J).
        times_ms: Start of each window, Unix milliseconds, shape (B,).
        groups: Each indicator's group.
        period_ms: Period of the seasons that were fitted, an hour at a time; 0 for none.
    """
    size = len(groups)
    block, tau, within = np.zeros(size, np.int64), np.zeros(size), np.zeros((len(BLOCKS_MS), size))
    waves, unresolved = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
    wanted = 0
    names = np.array(groups)
    tables = _tables(hits, expected, trials, times_ms, period_ms)
    for group in dict.fromkeys(groups):
        columns = np.flatnonzero(names == group)
        # What never happened tells nothing of the group's dispersion, and is taken to share it.
        telling = columns[expected[:, columns].any(axis=0)]
        silent = np.setdiff1d(columns, telling)
        scales = [
            found
            for length, fitted, table in tables
            if (found := _scale(length, fitted, *(part[:, telling] for part in table))) is not None
        ]
        if not scales:
            continue
        chosen = _independent(scales)
        # Longer blocks may show more than independent blocks of this length would.
        longer = [one.pooled.squared * one.length for one in scales if one.length > chosen.length]
        shown = chosen.pooled.squared * chosen.length
        more = max([1.0, *(part / shown for part in longer if shown)])
        squared, shared = chosen.squared() * more, chosen.pooled.bound * more
        block[columns], tau[telling], tau[silent] = chosen.length, np.sqrt(squared), np.sqrt(shared)
        for row, length in enumerate(BLOCKS_MS):
            part = next(s for s in scales if s.length >= min(length, chosen.length))
            within[row, telling] = np.sqrt(np.maximum(part.squared(), squared))
            within[row, silent] = np.sqrt(max(part.pooled.bound, shared))
        waves[columns] = any(s.significant for s in scales)
        if waves[columns[0]] and chosen is scales[-1] and len(scales) > 1:
            unresolved[columns] = True
            wanted = max(wanted, _next_length(chosen.length) * 2 * FEWEST_BLOCKS)
    return Dispersion(block, tau, within, waves, unresolved, wanted)


def _independent(scales: Sequence[_Scale]) -> _Scale:
    """Return the shortest length whose blocks look independent of each other.

    Longer blocks then show no more than the mean of independent ones would, and successive blocks
    are no more alike, but for chance. A short baseline has too few longer blocks to show much, but
    its blocks still follow each other where they are shorter than the waves. Where the fluctuation
    is not more than chance at any length, that is the longest one: slower fluctuations than that
    are what the baseline bounds best.
    """
    if not any(scale.significant for scale in scales):
        return scales[-1]
    for number, scale in enumerate(scales):
        long_run = scale.pooled.squared * scale.length
        if not scale.follow_each_other and not any(
            one.pooled.exceeds(_LONGER, long_run / one.length) for one in scales[number + 1 :]
        ):
            return scale
    return scales[-1]


def _next_length(length: int) -> int:
    place = BLOCKS_MS.index(length)
    return BLOCKS_MS[min(place + 1, len(BLOCKS_MS) - 1)]


def _tables(
    hits: Counts, expected: Floats, trials: Counts, times_ms: Counts, period_ms: int
) -> list[tuple[int, int, tuple[Floats, Floats, Floats]]]:
    """Return what the blocks of each length hold, for the lengths with enough blocks.

    Returns:
        (length, number of rates fitted to its blocks, (hits, expected, trials) by block).
    """
    found = []
    order = np.argsort(times_ms, kind="stable")
    starts = times_ms[order]
    parts: list[Floats] = [np.asarray(part[order], float) for part in (hits, expected, trials)]
    finest = int(np.diff(np.unique(starts)).min()) if len(np.unique(starts)) > 1 else 0
    for length in BLOCKS_MS:
        blocks, first = np.unique(starts // length, return_index=True)
        if len(blocks) < FEWEST_BLOCKS:
            break
        parts = [np.add.reduceat(part, first, axis=0) for part in parts]
        starts = blocks * length
        if length >= finest:
            fitted = _fitted(starts, length, period_ms)
            found.append((length, fitted, (parts[0], parts[1], parts[2])))
    return found


def _fitted(starts: Counts, length: int, period_ms: int) -> int:
    """Return how many rates were fitted to blocks: one for each part of the period seen."""
    if length >= period_ms:
        return 1
    part = max(length, _HOUR)
    return len(np.unique(starts // part % (period_ms // part)))


def _scale(
    length: int, fitted: int, hits: Floats, expected: Floats, trials: Floats
) -> _Scale | None:
    """Return what blocks of one length show, None with too few blocks or hits.

    Rates of 1, which leave nothing to chance, tell nothing of their group's dispersion.

    Pearson's statistic of an indicator over B blocks has the mean ``B + tau^2 * sum e / (1 - p)``,
    with e the expected hits, and without dispersion the variance ``2 B + sum k`` with k the
    binomial's excess kurtosis, which is large where hits are rare (Haldane, Biometrika 29, 1937).
    The group's is their sum with the weights that estimate one dispersion of all of them best, and
    is taken for a scaled chi-square variable with the same mean and variance (Satterthwaite,
    Biometrics Bulletin 2, 1946).
    """
    asked = (trials > 0) & (expected > 0)
    blocks = asked.sum(axis=0)
    if (blocks - fitted < FEWEST_BLOCKS - 1).any() or expected.sum(axis=1).mean() < _FEWEST_HITS:
        return None
    rate = np.divide(expected, trials, out=np.zeros_like(expected), where=asked)
    rate = np.minimum(rate, 1 - 1e-9)
    variance = np.where(asked, expected * (1 - rate), 1.0)
    residual = np.where(asked, (hits - expected) / np.sqrt(variance), 0.0)
    pearson = (residual**2).sum(axis=0)
    free = blocks - float(fitted)
    weight = (np.where(asked, expected / (1 - rate), 0.0)).sum(axis=0) * free / blocks
    kurtosis = np.where(asked, (1 - 6 * rate * (1 - rate)) / variance, 0.0).sum(axis=0) / blocks
    spread = _covariance(residual, np.maximum(kurtosis, 0.0))
    degrees = 2 * free / np.diag(spread)
    own = [_Pearson(*one) for one in zip(pearson, free, weight, degrees, strict=True)]
    misses = np.where(asked, trials - expected, 0.0).sum(axis=0)
    share = np.where(misses > _CERTAIN, weight, 0.0)
    if not share.any():
        return None
    share /= share.sum()
    mean = float(share @ free)
    together = 2 * mean**2 / float(share @ (spread * np.sqrt(np.outer(free, free))) @ share)
    pooled = _Pearson(float(share @ pearson), mean, float(share @ weight), together)
    return _Scale(
        length=length,
        pooled=pooled,
        own=np.array([one.squared for one in own]),
        bound=np.array([one.bound for one in own]),
        hits=expected.sum(axis=0) / blocks,
        blocks=len(residual),
        following=_following(residual, share) if fitted == 1 else 0.0,
    )


def _following(residual: Floats, share: Floats) -> float:
    """Return the correlation of successive blocks, pooled over the group."""
    whole = float(share @ (residual**2).sum(axis=0))
    return float(share @ (residual[1:] * residual[:-1]).sum(axis=0)) / max(whole, 1e-12)


def _covariance(residual: Floats, kurtosis: Floats) -> Floats:
    """Return the covariance of a block's squared residuals, shape (G, G).

    It is that of normal variables, and the fourth cumulant of counts of which one holds the other.
    """
    product = residual.T @ residual
    scale = np.sqrt(np.maximum(np.diag(product), 1e-12))
    correlation = np.abs(product / np.outer(scale, scale))
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(2 * correlation**2 + correlation * np.sqrt(np.outer(kurtosis, kurtosis)))
