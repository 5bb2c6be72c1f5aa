"""From a request to the indicators that hold for it, as one baseline sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.drift import descriptors
from tidegauge.drift.baseline import Cluster, Lens
from tidegauge.drift.codebook import assign
from tidegauge.drift.errors import VectorsError
from tidegauge.drift.novelty import novelty
from tidegauge.engine.indicators import Hits, Indicator

__all__ = [
    "EMBEDDED",
    "SHARES",
    "Sightings",
    "cell_label",
    "cell_labels",
    "hits_of",
    "indicators",
    "look",
    "novelty_above",
]

Vectors: TypeAlias = NDArray[np.float32]

EMBEDDED = "embedded"
"""Count, in a sketch's hits, of the events that the indicators were asked of."""

SHARES = {
    "clusters": 0.3,
    "novelty": 0.5,
    "projections": 0.1,
    "languages": 0.05,
    "lengths": 0.05,
}
"""How the families share what the adaptive bets leave of the monitor's budget."""

_OTHER = "other"


@dataclass(frozen=True, slots=True)
class Sightings:
    """Where vectors lie, seen through a lens.

    Attributes:
        cluster: Index of the nearest centroid, shape (n,).
        novelty: 1 - mean cosine to the nearest reference points, shape (n,).
        low: Whether the projection lies in the low tail, shape (n, P).
        high: Whether it lies in the high tail, shape (n, P).
        cell: Index of the cell, shape (n,): see ``cell_labels``.
    """

    cluster: NDArray[np.int64]
    novelty: NDArray[np.float32]
    low: NDArray[np.bool_]
    high: NDArray[np.bool_]
    cell: NDArray[np.int64]


def look(lens: Lens, vectors: Vectors, *, scores: Vectors | None = None) -> Sightings:
    """Look at unit vectors of shape (n, d) through a lens.

    Args:
        lens: The baseline's.
        vectors: Unit vectors.
        scores: Their novelty, where it is known already.

    Raises:
        VectorsError: They have another dimension than the baseline's.
    """
    if vectors.ndim != 2 or vectors.shape[1] != lens.centroids.shape[1]:  # noqa: PLR2004
        raise VectorsError(
            f"the baseline has vectors of {lens.centroids.shape[1]} numbers, got an array of "
            f"shape {vectors.shape}: activate a baseline of this embedder, or build one"
        )
    along = (vectors - lens.mean) @ lens.components.T
    if scores is None:
        scores = novelty(vectors, lens.points)
    part = assign(vectors, lens.cell_centroids)
    strangeness = np.searchsorted(lens.cell_levels, scores, side="left")
    return Sightings(
        cluster=assign(vectors, lens.centroids),
        novelty=scores,
        low=along < lens.lows,
        high=along > lens.highs,
        cell=part * (len(lens.cell_levels) + 1) + strangeness,
    )


def cell_label(lens: Lens, cell: int) -> str:
    """Return a cell's name: part of the space / how strange, from 0 for the least."""
    part, strangeness = divmod(cell, len(lens.cell_levels) + 1)
    return f"{part}/{strangeness}"


def cell_labels(lens: Lens) -> tuple[str, ...]:
    """Return the names of all cells, in the order of their indices."""
    count = len(lens.cell_centroids) * (len(lens.cell_levels) + 1)
    return tuple(cell_label(lens, cell) for cell in range(count))


def hits_of(lens: Lens, texts: Sequence[str], sightings: Sightings) -> list[tuple[str, ...]]:
    """Return the names of the indicators that hold for each text, ``EMBEDDED`` first."""
    exceeded = np.searchsorted(lens.levels, sightings.novelty, side="left")
    found = []
    for row, text in enumerate(texts):
        names = [EMBEDDED, _cluster(int(sightings.cluster[row]))]
        names += [novelty_above(level) for level in lens.level_names[: exceeded[row]]]
        names += [_tail(int(i), "low") for i in np.flatnonzero(sightings.low[row])]
        names += [_tail(int(i), "high") for i in np.flatnonzero(sightings.high[row])]
        code = descriptors.language(text)
        names.append(_language(code if code in lens.languages else _OTHER))
        names.append(_length(descriptors.length(text)))
        found.append(tuple(names))
    return found


def indicators(lens: Lens, clusters: Sequence[Cluster]) -> tuple[Indicator, ...]:
    """Return everything that is tested, in a fixed order."""
    named = [
        *((_cluster(k), cluster.title, "clusters") for k, cluster in enumerate(clusters)),
        *(
            (novelty_above(level), f"stranger than {float(level):.1%} of the baseline", "novelty")
            for level in lens.level_names
        ),
        *(
            (_tail(i, side), f"{side} end of direction {i + 1}", "projections")
            for i in range(len(lens.components))
            for side in ("low", "high")
        ),
        *(
            (_language(code), f"language or script: {code}", "languages")
            for code in (*lens.languages, _OTHER)
        ),
        *(
            (_length(name), f"length in characters: {name.replace('_', ' ')}", "lengths")
            for name in descriptors.LENGTHS
        ),
    ]
    return tuple(
        Indicator(name=name, title=title, family=family, counter=Hits(name, of=EMBEDDED))
        for name, title, family in named
    )


def _cluster(index: int) -> str:
    return f"cluster/{index}"


def novelty_above(level: str) -> str:
    """Return the name of a novelty level's indicator."""
    return f"novelty/above_{level}"


def _tail(direction: int, side: str) -> str:
    return f"projection/{direction}/{side}"


def _language(code: str) -> str:
    return f"language/{code}"


def _length(name: str) -> str:
    return f"length/{name}"
