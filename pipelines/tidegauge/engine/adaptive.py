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
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from tidegauge.schemas.sketches import Sketch

__all__ = [
    "TOTAL",
    "Cells",
    "Memory",
    "advance",
    "count_cells",
    "fluctuation",
    "no_memory",
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
class Memory:
    """The state of the adaptive bets; D divisions, S stakes.

    Attributes:
        log_m: Log of each bet's statistic, shape (D, S).
        since_seconds: When each bet's present run began, shape (D, S).
        recent: Past events by cell, fading, shape (C,).
        prices: Prices over the bound of their mean, shape (C,); 1 bets nothing.
        run: Events by cell since the run of the division's boldest bet began, shape (C,).
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


def count_cells(cells: Cells, sketch: Sketch) -> Counts:
    """Return a sketch's events by cell, shape (C,)."""
    found = sketch.totals.get(TOTAL, {})
    return np.array([found.get(label, 0) for label in cells.labels], np.int64)


def no_memory(cells: Cells) -> Memory:
    """Return the state before the first block."""
    bets, size = (cells.divisions, len(STAKES)), len(cells.prior)
    return Memory(
        log_m=np.full(bets, -np.inf),
        since_seconds=np.zeros(bets),
        recent=np.zeros(size),
        prices=np.ones(size),
        run=np.zeros(size, np.int64),
        refreshes=0,
        unpriced=0,
    )


def advance(
    cells: Cells, memory: Memory, hits: Counts, *, duration_seconds: float, elapsed_seconds: float
) -> Memory:
    """Add one closed block.

    Args:
        cells: The baseline's.
        memory: The state before the block: it alone sets the prices.
        hits: Events of the block by cell, shape (C,); each event counts in every division.
        duration_seconds: The block's length.
        elapsed_seconds: Time observed before the block.
    """
    events = int(hits.sum()) // cells.divisions
    log_duration = np.log(duration_seconds)
    restarts = memory.log_m < log_duration
    moved = Memory(
        log_m=np.logaddexp(memory.log_m, log_duration) + _log_gains(cells, memory.prices, hits),
        since_seconds=np.where(restarts, elapsed_seconds, memory.since_seconds),
        recent=memory.recent * 0.5 ** (events / HALF_LIFE_EVENTS) + hits,
        prices=memory.prices,
        run=hits + np.where(_each_cell(cells, restarts[:, -1]), 0, memory.run),
        refreshes=memory.refreshes,
        unpriced=memory.unpriced + events,
    )
    return moved if moved.unpriced < REFRESH_EVENTS else _refreshed(cells, moved)


def strongest(cells: Cells, memory: Memory) -> tuple[int, int, int, float]:
    """Return what the best bet is on.

    Returns:
        The indicator whose cells have grown most since the best bet's run began; its events
        in that run, and all events in it; when the run began, on the detector's clock.
    """
    best, stake = np.unravel_index(int(np.argmax(memory.log_m)), memory.log_m.shape)
    run, owners = _by_division(cells, memory.run)[best], _by_division(cells, cells.owners)[best]
    events = int(run.sum())
    excess = np.bincount(owners, weights=run - events * _by_division(cells, cells.prior)[best])
    owner = int(np.argmax(excess))
    return owner, int(run[owners == owner].sum()), events, float(memory.since_seconds[best, stake])


def fluctuation(cells: Cells, history: Counts) -> float:
    """Return how much mean prices fluctuate by themselves, as three relative deviations.

    The past is bet on as if it were new: each stretch of time is priced by those before it,
    and the mean price compared with the baseline's, beyond what chance explains.

    Args:
        cells: The baseline's.
        history: Events by stretch of time and cell, shape (T, C).
    """
    counts = np.array(cells.counts)
    recent, excess, weight = np.zeros(len(counts)), np.zeros(cells.divisions), 0.0
    for hits in history:
        events = int(hits.sum()) // cells.divisions
        if events and recent.sum() >= REFRESH_EVENTS * cells.divisions:
            prices = _prices(cells, recent)
            total = counts.sum() / cells.divisions
            usual = _by_division(cells, prices * counts).sum(axis=1) / total
            mean = _by_division(cells, prices * hits).sum(axis=1) / events
            squares = _by_division(cells, prices**2 * counts).sum(axis=1) / total
            chance = (squares - usual**2) / events
            excess += events * ((mean / usual - 1) ** 2 - chance / usual**2)
            weight += events
        recent = recent * 0.5 ** (events / HALF_LIFE_EVENTS) + hits
    return 3.0 * float(np.sqrt(max(excess.max() / weight, 0.0))) if weight else 0.0


def _by_division(cells: Cells, by_cell: ArrayLike) -> NDArray[Any]:
    """Return numbers by cell as one row for each division."""
    return np.reshape(by_cell, (cells.divisions, -1))


def _each_cell(cells: Cells, by_division: NDArray[Any]) -> NDArray[Any]:
    """Return for each cell what its division has."""
    return np.repeat(by_division, len(cells.prior) // cells.divisions)


def _log_gains(cells: Cells, prices: Floats, hits: Counts) -> Floats:
    """Return log L of each division's stakes, shape (D, S)."""
    gains = np.log1p(np.array(STAKES)[:, None] * (prices - 1)) * hits
    return np.asarray(gains.reshape(len(STAKES), cells.divisions, -1).sum(axis=2).T)


def _refreshed(cells: Cells, memory: Memory) -> Memory:
    """Set new prices by what has been seen, each division's over the bound of their mean."""
    refreshes = memory.refreshes + 1
    alpha = cells.alpha / cells.divisions * 6 / (np.pi**2 * refreshes**2)
    prices = _prices(cells, memory.recent)
    parts = (prices, cells.prior, cells.counts)
    bounds = [
        _upper(*part, log_level=-np.log(alpha))
        for part in zip(*(_by_division(cells, part) for part in parts), strict=True)
    ]
    over = prices / (_each_cell(cells, np.array(bounds)) * (1 + cells.tolerance))
    return replace(memory, prices=over, refreshes=refreshes, unpriced=0)


def _prices(cells: Cells, recent: Floats) -> Floats:
    """Return each cell's price, shape (C,): the growth that it seems to have had."""
    seen = _by_division(cells, recent)
    usual = seen.sum(axis=1, keepdims=True) * _by_division(cells, cells.prior)
    return np.concatenate([_growth(*rows) for rows in zip(seen, usual, strict=True)])


def _growth(seen: Floats, usual: Floats) -> Floats:
    """Return the expected growth of a division's cells: Poisson counts, most rates unchanged.

    How common each growth is among the cells is learnt from them all by a few rounds of
    expectation and maximisation.

    Args:
        seen: Past events by cell, shape (C / D,).
        usual: How many the baseline would have had.

    Source: Robbins, "An empirical Bayes approach to statistics" (1956); Kiefer and
    Wolfowitz (1956) for the mixture.
    """
    growth = np.array(GROWTH)
    log_like = seen[:, None] * np.log(growth) - usual[:, None] * (growth - 1)
    like = np.exp(log_like - log_like.max(axis=1, keepdims=True))
    prior = np.where(growth == 1, _UNCHANGED, (1 - _UNCHANGED) / (len(growth) - 1))
    common = prior
    for _ in range(_ROUNDS):
        chance = like * common
        chance /= chance.sum(axis=1, keepdims=True)
        common = (chance.sum(axis=0) + _PRIOR_CELLS * prior) / (len(seen) + _PRIOR_CELLS)
    chance = like * common
    return np.asarray((chance @ growth) / chance.sum(axis=1))


def _upper(prices: Floats, prior: Floats, counts: Counts, *, log_level: float) -> float:
    """Return the upper bound of the mean price, see the module."""
    n = counts.sum()
    spread = max(float(prior @ prices**2 - (prior @ prices) ** 2), 1e-12)
    steepest = _LARGEST_FACTOR / float(prices.max())
    factor = min(float(np.sqrt(2 * log_level / (n * spread))), steepest)
    bound = float(counts @ prices) / float(n)
    for _ in range(_STEPS):
        # Newton's steps on a concave function, from below: they never pass the root.
        terms = 1 + factor * (bound - prices)
        missing = log_level - float(counts @ np.log(terms))
        bound += missing / float(counts @ (factor / terms))
    return bound
