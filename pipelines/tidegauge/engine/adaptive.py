"""Adaptive bets: on whichever mixture of cells has been growing lately.

The events are divided into cells, in several ways at once. A change that lifts many cells a
little shows in none of them alone; a bet on their sum sees it, if it is known which. So
past blocks choose: each cell c gets a price f_c > 0, the growth that it seems to have had of
late against the baseline, and the next block's events buy

    L = prod over events (1 - s + s * f_c / q)

with the stake s in (0, 1) and q an upper confidence bound of the mean price in the
baseline. While the mean price is at most q, given the past, E[L] <= 1: these bets join the
other ones of the detector, and its promise stays.

The bound is the baseline's own betting bound: for a factor k < 1 / max f fixed beforehand,
prod over baseline events (1 + k * (m - f)) has mean 1 when m is the mean price, so the m at
which it reaches 1 / alpha_b is too small with probability at most alpha_b. Prices and k come
from past blocks and from texts that are not among those events; alpha_b sums to alpha over
all sets of prices b.

Source: the witness of Shekhar and Ramdas, "Nonparametric two-sample testing by betting"
(2023), with prices in place of a kernel; Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting" (2023).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.schemas.sketches import Sketch

__all__ = [
    "TOTAL",
    "Cells",
    "Memory",
    "Pricing",
    "advance",
    "count_cells",
    "fluctuation",
    "no_memory",
    "ready",
    "strongest",
]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

TOTAL = "cells"
"""Name under which a sketch's totals hold the events by cell."""
STAKES = (0.5, 0.9)
HALF_LIFE_EVENTS = 2_048.0
REFRESH_EVENTS = 100
"""Prices stand until so many events have passed: each new set of them costs the bound."""
GROWTH = (0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0, 4.5, 8.0)
"""How many times as frequent as in the baseline a cell may have become."""
_UNCHANGED = 0.8
_PRIOR_CELLS = 10.0
_ROUNDS = 4
_STEPS = 8
_LARGEST_FACTOR = 0.9


class Cells(msgspec.Struct, frozen=True, kw_only=True):
    """What adaptive bets know of the baseline; C cells in all.

    One division into cells may cut through what changes, and another fit it: there are D of
    them, with C / D cells each, and each is bet on by itself.

    Attributes:
        divisions: How many, D; the cells of one lie together.
        labels: The cells' names in a sketch's totals.
        owners: Index of the indicator that stands for each cell when people are told.
        prior: Rate of each cell among texts that were not counted; a division's sum to 1.
        counts: Baseline events in each cell.
        share: Part of the detector's budget.
        alpha: Chance that a bound of a mean price is ever too low.
        tolerance: Bounds are wider by this part, for rates that fluctuate by themselves.
    """

    divisions: int
    labels: tuple[str, ...]
    owners: tuple[int, ...]
    prior: tuple[float, ...]
    counts: tuple[int, ...]
    share: float
    alpha: float
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class Pricing:
    """The same as arrays, ready to compute with; D divisions, F cells each.

    Attributes:
        labels: The cells' names in a sketch's totals, D x F of them.
        owners: Index of the indicator that stands for each cell, shape (D, F).
        prior: Rate of each cell among texts that were not counted, shape (D, F).
        counts: Baseline events in each cell, shape (D, F).
        share: Part of the detector's budget.
        alpha: Chance that a bound of a mean price is ever too low.
        tolerance: Bounds are wider by this part.
    """

    labels: tuple[str, ...]
    owners: Counts
    prior: Floats
    counts: Counts
    share: float
    alpha: float
    tolerance: float


@dataclass(frozen=True, slots=True)
class Memory:
    """The state of the adaptive bets; D divisions of F cells, S stakes.

    Attributes:
        log_m: Log of each bet's statistic, shape (D, S).
        since_seconds: When each bet's present run began, shape (D, S).
        recent: Past events by cell, fading, shape (D, F).
        prices: Prices over the bound of their mean, shape (D, F); 1 bets nothing.
        run: Events by cell since the run of the division's boldest bet began, shape (D, F).
        refreshes: How many sets of prices there have been.
        unpriced: Events since the last.
    """

    log_m: Floats
    since_seconds: Floats
    recent: Floats
    prices: Floats
    run: Counts
    refreshes: int
    unpriced: int


def ready(cells: Cells) -> Pricing:
    """Return what a baseline says of its cells as arrays."""
    shape = (cells.divisions, -1)
    return Pricing(
        labels=cells.labels,
        owners=np.array(cells.owners, np.int64).reshape(shape),
        prior=np.array(cells.prior).reshape(shape),
        counts=np.array(cells.counts, np.int64).reshape(shape),
        share=cells.share,
        alpha=cells.alpha,
        tolerance=cells.tolerance,
    )


def count_cells(pricing: Pricing, sketch: Sketch) -> Counts:
    """Return a sketch's events by cell, shape (D, F); each event counts in every division."""
    found = sketch.totals.get(TOTAL, {})
    counts = np.array([found.get(label, 0) for label in pricing.labels], np.int64)
    return counts.reshape(pricing.prior.shape)


def no_memory(pricing: Pricing) -> Memory:
    """Return the state before the first block."""
    shape = pricing.prior.shape
    bets = (shape[0], len(STAKES))
    return Memory(
        log_m=np.full(bets, -np.inf),
        since_seconds=np.zeros(bets),
        recent=np.zeros(shape),
        prices=np.ones(shape),
        run=np.zeros(shape, np.int64),
        refreshes=0,
        unpriced=0,
    )


def advance(
    pricing: Pricing,
    memory: Memory,
    hits: Counts,
    *,
    duration_seconds: float,
    elapsed_seconds: float,
) -> Memory:
    """Add one closed block.

    Args:
        pricing: The baseline's.
        memory: The state before the block: it alone sets the prices.
        hits: Events of the block by cell, shape (D, F).
        duration_seconds: The block's length.
        elapsed_seconds: Time observed before the block.
    """
    events = int(hits[0].sum())
    log_duration = np.log(duration_seconds)
    restarts = memory.log_m < log_duration
    moved = Memory(
        log_m=np.logaddexp(memory.log_m, log_duration) + _log_gains(memory.prices, hits),
        since_seconds=np.where(restarts, elapsed_seconds, memory.since_seconds),
        recent=memory.recent * 0.5 ** (events / HALF_LIFE_EVENTS) + hits,
        prices=memory.prices,
        run=np.where(restarts[:, -1:], 0, memory.run) + hits,
        refreshes=memory.refreshes,
        unpriced=memory.unpriced + events,
    )
    return moved if moved.unpriced < REFRESH_EVENTS else _refreshed(pricing, moved)


def strongest(pricing: Pricing, memory: Memory) -> tuple[int, int, int, float]:
    """Return what the best bet is on.

    Returns:
        The indicator whose cells have grown most since the best bet's run began; its events
        in that run, and all events in it; when the run began, on the detector's clock.
    """
    best, stake = np.unravel_index(int(np.argmax(memory.log_m)), memory.log_m.shape)
    run, owners = memory.run[best], pricing.owners[best]
    events = int(run.sum())
    excess = np.bincount(owners, weights=run - events * pricing.prior[best])
    owner = int(np.argmax(excess))
    return owner, int(run[owners == owner].sum()), events, float(memory.since_seconds[best, stake])


def fluctuation(pricing: Pricing, history: Counts) -> float:
    """Return how much mean prices fluctuate by themselves, as three relative deviations.

    The past is bet on as if it were new: each stretch of time is priced by those before it,
    and the mean price compared with the baseline's, beyond what chance explains.

    Args:
        pricing: The baseline's.
        history: Events by stretch of time and cell, shape (T, D, F).
    """
    total = pricing.counts[0].sum()
    recent, excess, weight = np.zeros(pricing.prior.shape), np.zeros(len(pricing.prior)), 0.0
    for hits in history:
        events = int(hits[0].sum())
        if events and recent[0].sum() >= REFRESH_EVENTS:
            prices = _growth(recent, pricing.prior)
            usual = (prices * pricing.counts).sum(axis=1) / total
            mean = (prices * hits).sum(axis=1) / events
            chance = ((prices**2 * pricing.counts).sum(axis=1) / total - usual**2) / events
            excess += events * ((mean / usual - 1) ** 2 - chance / usual**2)
            weight += events
        recent = recent * 0.5 ** (events / HALF_LIFE_EVENTS) + hits
    return 3.0 * float(np.sqrt(max(excess.max() / weight, 0.0))) if weight else 0.0


def _log_gains(prices: Floats, hits: Counts) -> Floats:
    """Return log L of each division's stakes, shape (D, S)."""
    gains = [(np.log1p(stake * (prices - 1)) * hits).sum(axis=1) for stake in STAKES]
    return np.stack(gains, axis=1)


def _refreshed(pricing: Pricing, memory: Memory) -> Memory:
    """Set new prices by what has been seen, each division's over the bound of their mean."""
    refreshes = memory.refreshes + 1
    alpha = pricing.alpha / len(pricing.prior) * 6 / (np.pi**2 * refreshes**2)
    prices = _growth(memory.recent, pricing.prior)
    bounds = _upper(prices, pricing.prior, pricing.counts, log_level=-float(np.log(alpha)))
    over = prices / (bounds[:, None] * (1 + pricing.tolerance))
    return replace(memory, prices=over, refreshes=refreshes, unpriced=0)


def _growth(recent: Floats, prior: Floats) -> Floats:
    """Return the expected growth of each cell: Poisson counts, most rates unchanged.

    How common each growth is among the cells of a division is learnt from them all by a few
    rounds of expectation and maximisation.

    Args:
        recent: Past events by cell, shape (D, F).
        prior: The baseline's rates.

    Source: Robbins, "An empirical Bayes approach to statistics" (1956); Kiefer and
    Wolfowitz (1956) for the mixture.
    """
    growth = np.array(GROWTH)
    usual = recent.sum(axis=1, keepdims=True) * prior
    log_like = recent[..., None] * np.log(growth) - usual[..., None] * (growth - 1)
    like = np.exp(log_like - log_like.max(axis=2, keepdims=True))
    assumed = np.where(growth == 1, _UNCHANGED, (1 - _UNCHANGED) / (len(growth) - 1))
    common = np.tile(assumed, (len(recent), 1, 1))
    for _ in range(_ROUNDS):
        chance = like * common
        chance /= chance.sum(axis=2, keepdims=True)
        cells = chance.sum(axis=1, keepdims=True) + _PRIOR_CELLS * assumed
        common = cells / (recent.shape[1] + _PRIOR_CELLS)
    chance = like * common
    return np.asarray((chance @ growth) / chance.sum(axis=2))


def _upper(prices: Floats, prior: Floats, counts: Counts, *, log_level: float) -> Floats:
    """Return the upper bound of each division's mean price, shape (D,): see the module."""
    n = counts.sum(axis=1)
    spread = (prior * prices**2).sum(axis=1) - (prior * prices).sum(axis=1) ** 2
    steepest = _LARGEST_FACTOR / prices.max(axis=1)
    factor = np.minimum(np.sqrt(2 * log_level / (n * np.maximum(spread, 1e-12))), steepest)
    bound = (counts * prices).sum(axis=1) / n
    for _ in range(_STEPS):
        # Newton's steps on a concave function, from below: they never pass the root.
        terms = 1 + factor[:, None] * (bound[:, None] - prices)
        missing = log_level - (counts * np.log(terms)).sum(axis=1)
        bound += missing / (counts * (factor[:, None] / terms)).sum(axis=1)
    return np.asarray(bound)
