"""Bets on the rates of indicators: what each count adds to the evidence for a change.

A bet on a rise is on a rate r times as high as the upper edge of the rate's band, one on a fall on
a rate lower by that factor than the lower edge. Its likelihood ratio has a mean of at most 1 for
every rate in the band.

Where the baseline's rates were found to
differ between blocks of time, the rate of a block is a random draw: the band's edge times a gamma
variable of mean 1 and standard deviation tau. With e the events that the edge leads one to expect
in the block so far, and k = 1 / tau^2, the likelihood ratio of a rate r times as high is

    L = c^x * ((e + k) / (r e + k))^k,   c = r (e + k) / (r e + k)

the ratio of two negative binomials. It bounds the evidence that a block can give, however many
events it has, and has a mean of at most 1 for every rate in the band whose dispersion is at most
the gamma's in convex order, since c^x is convex in the rate and the binomial's moments are at most
the Poisson's.

Rates may fluctuate within a block, too: the part of a block that has passed has the dispersion of
its own length. Where the next length is reached, k is another, so that the looks at one block are
those of as many martingales as it has lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.dispersion import BLOCKS_MS
from tidegauge.detection.polya_urn import PolyaUrnBets, ready
from tidegauge.detection.reference import OPEN_BELOW, Reference

__all__ = ["RATIOS", "Bets", "block_log_lr", "mean_delay", "place_bets"]

Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

RATIOS = (1.3, 1.7, 2.5, 4.0, 8.0)
"""Effect sizes that are bet on: the factors by which a rate rises or falls."""
_LEAST_TAU = 1e-3


@dataclass(frozen=True, slots=True)
class Bets:
    """The bets on each indicator, fixed by the reference.

    Each indicator has G = 2 x len(RATIOS) bets: first the rises, then the falls.

    Attributes:
        log_hit: What an event for which the indicator holds adds to the log of a bet's
            statistic, shape (S, J, G); S slots. It is ``log(changed / unchanged)``: the rate under
            the alternative over the band's edge nearest to it.
        log_miss: What any other event adds, ``log((1 - changed) / (1 - unchanged))``.
        log_weights: Log of each bet's share of the budget, shape (J, G).
        baseline: Id of the baseline that the bands came from.
        drawn: Index of each indicator whose rate is a random draw in every block of time, R of
            them.
        block_ms: Length of their blocks, milliseconds, shape (R,).
        edges: Upper and lower edge of their bands, shape (S, R, 2).
        log_ratio: Log of the factor by which each bet's rate differs from the edge, shape (R, G).
        shape: The gamma variable's shape, ``1 / tau^2``, by the length in
            ``dispersion.BLOCKS_MS`` that has passed of a block, shape (K, R).
        polya_urns: The bets on divisions into cells.
    """

    log_hit: Floats
    log_miss: Floats
    log_weights: Floats
    baseline: str
    drawn: Counts
    block_ms: Counts
    edges: Floats
    log_ratio: Floats
    shape: Floats
    polya_urns: tuple[PolyaUrnBets, ...] = ()


def place_bets(reference: Reference, *, polya_urns: bool = False, falls: bool = True) -> Bets:
    """Bet on each indicator's rise above, and fall below, its band.

    Args:
        reference: The bands.
        polya_urns: Whether to bet on the reference's Polya urns as well.
        falls: Whether to bet on falls; without, the rises get the whole share.
    """
    urn_bets = tuple(ready(urn) for urn in reference.polya_urns) if polya_urns else ()
    low = np.array(reference.slot_low or (reference.low,))
    high = np.array(reference.slot_high or (reference.high,))
    ratios = np.array(RATIOS)
    rise = np.minimum(high[..., None] * ratios, (1 + high[..., None]) / 2)
    fall = low[..., None] / ratios
    sides = 2 * len(RATIOS)
    edges = np.stack([high, low], axis=-1)
    weights = np.array(reference.weights)[:, None] / sides
    weights = weights * (1 - sum(urn.share for urn in urn_bets))
    log_weights = np.log(np.repeat(weights, sides, axis=1))
    # No rate falls below a band that is open below: the rises get the whole share.
    open_below = (low.max(axis=0) <= OPEN_BELOW) | (not falls)
    log_weights[open_below, : len(RATIOS)] += np.log(2)
    log_weights[open_below, len(RATIOS) :] = -np.inf
    changed = np.concatenate([rise, fall], axis=-1)
    unchanged = np.repeat(edges, len(RATIOS), axis=-1)
    log_hit = np.log(changed / unchanged)
    tau = np.array(reference.dispersion)
    blocks = np.array(reference.block_ms or np.zeros(len(tau)), np.int64)
    drawn = np.flatnonzero((blocks > 0) & (tau > 0))
    within = np.array(reference.dispersion_within or (reference.dispersion,) * len(BLOCKS_MS))
    return Bets(
        log_hit=log_hit,
        log_miss=np.log1p(-changed) - np.log1p(-unchanged),
        log_weights=log_weights,
        baseline=reference.baseline,
        drawn=drawn,
        block_ms=blocks[drawn],
        edges=edges[:, drawn],
        # Of all slots the smallest change: in every slot it is a change at most as large.
        log_ratio=np.sign(log_hit[0, drawn]) * np.abs(log_hit[:, drawn]).min(axis=0),
        shape=1 / np.maximum(within[:, drawn], _LEAST_TAU) ** 2,
        polya_urns=urn_bets,
    )


def block_log_lr(
    bets: Bets, rows: Counts, hits: Floats | Counts, expected: Floats, passed_ms: Floats | Counts
) -> Floats:
    """Return log L of the blocks of some indicators, shape (rows, G).

    The rate of a part of a block is drawn with the dispersion of the longest measured length that
    has passed, so that a burst is no evidence because it stands at the begin of a long block.

    Args:
        bets: The bets.
        rows: Which of the R indicators with blocks, shape (rows,).
        hits: Their events so far in the block, shape (rows,).
        expected: What the band's edges lead one to expect, shape (rows, 2).
        passed_ms: How much of the block has passed, shape (rows,).
    """
    length = np.maximum(np.searchsorted(BLOCKS_MS, passed_ms, side="right") - 1, 0)
    x, k, log_r = hits[:, None], bets.shape[length, rows][:, None], bets.log_ratio[rows]
    e = np.repeat(expected, len(RATIOS), axis=1)
    shrunk = np.log(e + k) - np.log(np.exp(log_r) * e + k)
    return np.asarray(x * log_r + (x + k) * shrunk)


def mean_delay(bets: Bets, reference: Reference, indicator: int, rate: float, owed: float) -> float:
    """Estimate how many events it takes from a change of one rate to the alarm.

    Args:
        bets: The bets on the reference.
        reference: The reference.
        indicator: Index of the indicator.
        rate: Its rate after the change.
        owed: Log of the factor by which the evidence has to grow.

    Returns:
        The number of events after which the mean evidence of the first bet has grown by
        ``owed - log(its weight)``, in the first slot; infinite where no bet gains.
    """
    needed = owed - bets.log_weights[indicator]
    row = np.flatnonzero(bets.drawn == indicator)
    if row.size:
        # Within a block the evidence grows ever more slowly.
        passed = np.linspace(0.01, 1, 100)
        events = reference.block_trials[indicator] * passed
        gains = np.stack(
            [
                block_log_lr(bets, row, np.array([n * rate]), n * bets.edges[0, row], part)[0]
                for n, part in zip(events, passed[:, None] * bets.block_ms[row], strict=True)
            ]
        )
    else:
        events = np.ones(1)
        log_hit, log_miss = bets.log_hit[0, indicator], bets.log_miss[0, indicator]
        gains = (rate * log_hit + (1 - rate) * log_miss)[None]
    reached = gains >= needed
    within = np.where(reached, events[:, None], np.inf).min(axis=0)
    gain = gains[-1]
    whole = np.where(gain > 0, events[-1] * needed / np.where(gain > 0, gain, 1.0), np.inf)
    return float(np.minimum(within, whole).min())
