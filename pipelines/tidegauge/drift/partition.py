"""Cuts the space of requests into cells, by order statistics of the baseline itself.

A cell is cut off so that it holds a number of baseline events that was fixed beforehand: its share
of the traffic then has a known distribution (``detection.polya_urn``). The cells around centroids
that were fitted to other texts are nearly those of the nearest centroid: each cut only moves a
border a little.

Source: Tukey, "Nonparametric estimation II: statistically equivalent blocks and tolerance
regions" (1947).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.drift.errors import SpacingsError

__all__ = ["fit_bin_edges", "shares_of_rest"]

Vectors: TypeAlias = NDArray[np.float32]
Floats: TypeAlias = NDArray[np.float64]
Counts: TypeAlias = NDArray[np.int64]

_ALIKE = 1e-6
"""Largest difference by rounding between copies of a text."""
_NO_SPACING = 1e-6
"""Spacings of a cell that copies leave empty: its edge is infinite, no event falls into it."""


def shares_of_rest(counts: Counts) -> Floats:
    """Return the share of each cell after the first among itself and the cells before it.

    Args:
        counts: Wanted content of each cell, shape (F,).
    """
    return np.asarray((counts / np.maximum(np.cumsum(counts), 1))[1:])


def fit_bin_edges(values: Vectors, shares: Floats) -> tuple[Vectors, Floats]:
    """Cut off the cells from the last to the second; the events that are left form the first.

    Among the m events that are left, the event whose rank gives the cell its share is the edge:
    the cell holds ``rank`` of the m + 1 spacings between them. An edge never separates copies of
    one text: it moves to the end of the copies and halves the spacing there. The cell above the
    edge holds one half, and the next cell begins with the other.

    Args:
        values: Values of n events for each cell after the first, shape (n, F-1), n >= F.
        shares: Share of each of these cells in the spacings that are left, shape (F-1,).

    Returns:
        The bin edges, shape (F-1,), and the number of spacings of each cell, shape (F,): all
        above 0, they sum to n + 1.

    Raises:
        SpacingsError: A value or a share is not finite.
    """
    bin_edges = np.full(values.shape[1], np.inf, np.float32)
    spacings = np.full(values.shape[1] + 1, _NO_SPACING)
    left, first_spacing = np.arange(len(values)), 1.0
    for cell in range(values.shape[1], 0, -1):
        here = values[left, cell - 1]
        wanted = float(shares[cell - 1]) * (len(here) + first_spacing)
        if not (np.isfinite(here).all() and np.isfinite(wanted)):
            raise SpacingsError(
                f"cell {cell} cannot be cut: its values or its share are not finite"
            )
        most = max(len(here) - cell, 1)  # the cells before it need an event each
        found = _bin_edge(here, min(max(round(wanted), 1), most)) if len(here) else None
        if found is None:
            first_spacing -= _NO_SPACING
            continue
        bin_edges[cell - 1], full, below, next_spacing = found
        spacings[cell] = full - 1 + first_spacing
        left, first_spacing = left[below], next_spacing
    spacings[0] = len(left) + first_spacing
    return bin_edges, spacings


def _bin_edge(
    values: Vectors, rank: int
) -> tuple[np.float32, float, NDArray[np.bool_], float] | None:
    """Return the bin edge nearest to a rank from above, None where there are only copies.

    Returns:
        The edge; the spacings above it, if the first is a whole one; which events are below it;
        their part of the spacing at the edge.
    """
    ordered = np.sort(values)[::-1]
    at = ordered[rank - 1]
    above, until = int((values > at + _ALIKE).sum()), int((values >= at - _ALIKE).sum())
    if until - above == 1:
        return at, float(rank), values < at, 1.0
    nearer_above = rank - above <= until - rank or until == len(values)
    held = above if nearer_above else until
    if not held:
        return None
    edge = ordered[held - 1]
    # Halfway, but below the edge even where no number lies between the two.
    border = min(np.float32((edge + ordered[held]) / 2), np.nextafter(edge, np.float32(-np.inf)))
    return border, held + 0.5, values <= border, 0.5
