"""Adaptive bets: on whichever mixture of cells has been growing lately.

The events are divided into cells, each event in one. A change that lifts many cells a
little shows in none of them alone; a bet on their sum sees it, if it is known which. So
past blocks choose: each cell c gets a price f_c in [0, 1], higher the more often it was hit
of late against the baseline, and the next block's events buy

    L = prod over events (1 - s + s * f_c / q)

with the stake s in (0, 1) and q an upper confidence bound of the mean price in the
baseline. While the mean price is at most q, given the past, E[L] <= 1: these bets join the
other ones of the detector, and its promise stays.

The bound is the baseline's own betting bound: for a factor k in (0, 1) fixed beforehand,
prod over baseline events (1 + k * (m - f)) has mean 1 when m is the mean price, so the m at
which it reaches 1 / alpha_b is too small with probability at most alpha_b. Prices and k come
from past blocks and from texts that are not among those events; alpha_b sums to alpha over
all blocks b.

Source: the witness of Shekhar and Ramdas, "Nonparametric two-sample testing by betting"
(2023), with prices in place of a kernel; Waudby-Smith and Ramdas, "Estimating means of
bounded random variables by betting" (2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

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
STAKES = (0.25, 0.5, 0.9)
LOOKS = ((512.0, 3.0), (2_048.0, 6.0))
"""How the past is looked at: (half-life in events, times the baseline's rate at which a
price is highest)."""
PRIOR_EVENTS = 400.0
"""So many events of the baseline stand beside those of the past."""
_FEWEST_EVENTS = 10.0
_STEPS = 8
_LARGEST_FACTOR = 0.9


class Cells(msgspec.Struct, frozen=True, kw_only=True):
    """What adaptive bets know of the baseline; C cells.

    Attributes:
        labels: The cells' names in a sketch's totals.
        owners: Index of the indicator that stands for each cell when people are told.
        prior: Rate of each cell among texts that were not counted, sums to 1.
        counts: Baseline events in each cell.
        share: Part of the detector's budget.
        alpha: Chance that a bound of a mean price is ever too low.
        tolerance: Bounds are wider by this part, for rates that fluctuate by themselves.
    """

    labels: tuple[str, ...]
    owners: tuple[int, ...]
    prior: tuple[float, ...]
    counts: tuple[int, ...]
    share: float
    alpha: float
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """The state of the adaptive bets; H looks, S stakes.

    Attributes:
        log_m: Log of each bet's statistic, shape (H, S).
        since_seconds: When each bet's present run began, shape (H, S).
        recent: Past events by cell, fading, shape (H, C).
        run: Events by cell since the run of each look's boldest bet began, shape (H, C).
        blocks: Blocks bet on.
    """

    log_m: Floats
    since_seconds: Floats
    recent: Floats
    run: Counts
    blocks: int


def count_cells(cells: Cells, sketch: Sketch) -> Counts:
    """Return a sketch's events by cell, shape (C,)."""
    found = sketch.totals.get(TOTAL, {})
    return np.array([found.get(label, 0) for label in cells.labels], np.int64)


def no_memory(cells: Cells) -> Memory:
    """Return the state before the first block."""
    shape, size = (len(LOOKS), len(STAKES)), len(cells.prior)
    return Memory(
        log_m=np.full(shape, -np.inf),
        since_seconds=np.zeros(shape),
        recent=np.zeros((len(LOOKS), size)),
        run=np.zeros((len(LOOKS), size), np.int64),
        blocks=0,
    )


def advance(
    cells: Cells, memory: Memory, hits: Counts, *, duration_seconds: float, elapsed_seconds: float
) -> Memory:
    """Add one closed block.

    Args:
        cells: The baseline's.
        memory: The state before the block: it alone sets the prices.
        hits: Events of the block by cell, shape (C,).
        duration_seconds: The block's length.
        elapsed_seconds: Time observed before the block.
    """
    events = int(hits.sum())
    log_lr = np.zeros_like(memory.log_m)
    blocks = memory.blocks + (events > 0)
    if events:
        spent = cells.alpha / len(LOOKS) * 6 / (np.pi**2 * blocks**2)
        for h in range(len(LOOKS)):
            log_lr[h] = _log_gain(cells, memory.recent[h], h, hits, alpha=spent)
    log_duration = np.log(duration_seconds)
    restarts = memory.log_m < log_duration
    fading = 0.5 ** (events / np.array([half_life for half_life, _ in LOOKS]))
    return Memory(
        log_m=np.logaddexp(memory.log_m, log_duration) + log_lr,
        since_seconds=np.where(restarts, elapsed_seconds, memory.since_seconds),
        recent=memory.recent * fading[:, None] + hits,
        run=np.where(restarts[:, -1:], 0, memory.run) + hits,
        blocks=blocks,
    )


def strongest(cells: Cells, memory: Memory) -> tuple[int, int, int, float]:
    """Return what the best bet is on.

    Returns:
        The indicator whose cells have grown most since the best bet's run began; its events
        in that run, and all events in it; when the run began, on the detector's clock.
    """
    h, s = np.unravel_index(int(np.argmax(memory.log_m)), memory.log_m.shape)
    run, owners = memory.run[h], np.array(cells.owners)
    events = int(run.sum())
    excess = np.bincount(owners, weights=run - events * np.array(cells.prior))
    owner = int(np.argmax(excess))
    return owner, int(run[owners == owner].sum()), events, float(memory.since_seconds[h, s])


def fluctuation(cells: Cells, history: Counts) -> float:
    """Return how much mean prices fluctuate by themselves, as three relative deviations.

    The past is bet on as if it were new: each stretch of time is priced by those before it,
    and the mean price compared with the baseline's, beyond what chance explains.

    Args:
        cells: The baseline's.
        history: Events by stretch of time and cell, shape (T, C).
    """
    prior, counts = np.array(cells.prior), np.array(cells.counts)
    worst = 0.0
    for h, (half_life, _) in enumerate(LOOKS):
        recent, excess, weight = np.zeros(len(prior)), 0.0, 0.0
        for hits in history:
            events = int(hits.sum())
            if events and recent.sum() >= _FEWEST_EVENTS:
                prices = _prices(recent, prior, h)
                usual = float(counts @ prices) / counts.sum()
                mean = float(hits @ prices) / events
                chance = (float(counts @ prices**2) / counts.sum() - usual**2) / events
                excess += events * ((mean / usual - 1) ** 2 - chance / usual**2)
                weight += events
            recent = recent * 0.5 ** (events / half_life) + hits
        worst = max(worst, excess / weight if weight else 0.0)
    return 3.0 * float(np.sqrt(worst))


def _log_gain(cells: Cells, recent: Floats, look: int, hits: Counts, *, alpha: float) -> Floats:
    """Return log L of each stake, shape (S,)."""
    if recent.sum() < _FEWEST_EVENTS:
        return np.zeros(len(STAKES))
    prior = np.array(cells.prior)
    prices = _prices(recent, prior, look)
    bound = _upper(prices, prior, np.array(cells.counts), log_level=-np.log(alpha))
    bound = min(bound * (1 + cells.tolerance), 1.0)
    stakes = np.array(STAKES)[:, None]
    return np.asarray(np.log1p(stakes * (prices / bound - 1)) @ hits)


def _prices(recent: Floats, prior: Floats, look: int) -> Floats:
    """Return each cell's price: its growth, as far as the past is enough to say so."""
    _, most = LOOKS[look]
    growth = (recent + PRIOR_EVENTS * prior) / ((recent.sum() + PRIOR_EVENTS) * prior)
    return np.asarray(np.minimum(growth / most, 1.0))


def _upper(prices: Floats, prior: Floats, counts: Counts, *, log_level: float) -> float:
    """Return the upper bound of the mean price, see the module."""
    n = counts.sum()
    spread = max(float(prior @ prices**2 - (prior @ prices) ** 2), 1e-12)
    factor = min(float(np.sqrt(2 * log_level / (n * spread))), _LARGEST_FACTOR)
    bound = float(counts @ prices) / float(n)
    for _ in range(_STEPS):
        # Newton's steps on a concave function, from below: they never pass the root.
        terms = 1 + factor * (bound - prices)
        missing = log_level - float(counts @ np.log(terms))
        bound += missing / float(counts @ (factor / terms))
    return bound
