"""Dividing what can be asked into cells, by order statistics of the baseline itself.

A cell is cut off where it holds a number of baseline events that was fixed beforehand, so that
its share of the traffic is known but for chance, and by which law (``engine.urns``). The cells
around centroids that other texts gave are nearly those of the nearest centroid: each cut only
moves a border a little.

Source: Tukey, "Nonparametric estimation II: statistically equivalent blocks and tolerance
regions" (1947).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["belonging", "cells_of", "cut", "shares_of_rest"]

Vectors: TypeAlias = NDArray[np.float32]
Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

_ALIKE = 1e-6
"""Copies of a text differ by rounding."""
_NO_GAP = 1e-6


def belonging(vectors: Vectors, centroids: Vectors) -> Vectors:
    """Return how much nearer each vector is to a centroid than to all before it.

    Args:
        vectors: Unit vectors, shape (n, D).
        centroids: Unit vectors, shape (F, D).

    Returns:
        Differences of cosines for the second centroid and those after it, shape (n, F-1).
    """
    cosines = vectors @ centroids.T
    return np.asarray(cosines[:, 1:] - np.maximum.accumulate(cosines, axis=1)[:, :-1])


def cells_of(values: Vectors, cuts: Vectors) -> Counts:
    """Return each row's cell, shape (n,): the last one whose cut its value exceeds, or 0.

    Args:
        values: How much rows belong to the cells after the first, shape (n, F-1).
        cuts: Where these begin, shape (F-1,).
    """
    inside = values > cuts
    last = values.shape[1] - np.argmax(inside[:, ::-1], axis=1)
    return np.where(inside.any(axis=1), last, 0).astype(np.int64)


def shares_of_rest(counts: Counts) -> Floats:
    """Return the share of each cell but the first among itself and those before it.

    Args:
        counts: How much each cell shall hold, shape (F,).
    """
    return np.asarray((counts / np.maximum(np.cumsum(counts), 1))[1:])


def cut(values: Vectors, shares: Floats) -> tuple[Vectors, Floats]:
    """Cut cells off, from the last to the second; what is left is the first.

    Of m events that are left, the one of the rank that gives the cell its share is the cut
    itself: the cell holds ``rank`` of the m + 1 gaps between them. A cut never goes through
    copies of one text: it moves to their edge, and halves the gap there.

    Args:
        values: How much n events belong to each cell but the first, shape (n, F-1), n >= F.
        shares: Share of the gaps that are left, for each of these cells, shape (F-1,).

    Returns:
        The cuts, shape (F-1,), and how many gaps each cell holds, shape (F,); they sum to
        n + 1.
    """
    cuts = np.full(values.shape[1], np.inf, np.float32)
    gaps = np.full(values.shape[1] + 1, _NO_GAP)
    left, gaps_left = np.arange(len(values)), len(values) + 1.0
    for cell in range(values.shape[1], 0, -1):
        here = values[left, cell - 1]
        if not len(here):
            break  # copies took them all: nothing is expected in what is left
        most = len(here) - cell  # the cells before it need an event each
        rank = min(max(round(float(shares[cell - 1]) * gaps_left), 1), max(most, 1))
        cuts[cell - 1], gaps[cell], below = _cut(here, rank)
        gaps_left -= gaps[cell]
        left = left[below]
    gaps[0] = gaps_left
    return cuts, gaps


def _cut(values: Vectors, rank: int) -> tuple[np.float32, float, NDArray[np.bool_]]:
    """Return the cut nearest to a rank from above, the gaps above it, and who stays below."""
    ordered = np.sort(values)[::-1]
    at = ordered[rank - 1]
    above, until = int((values > at + _ALIKE).sum()), int((values >= at - _ALIKE).sum())
    if until - above == 1:
        return at, float(rank), values < at
    nearer_above = rank - above <= until - rank or until == len(values)
    held = above if nearer_above else until
    edge = ordered[held - 1] if held else ordered[0] + 1
    border = np.float32((edge + ordered[held]) / 2)
    return border, held + 0.5, values <= border
