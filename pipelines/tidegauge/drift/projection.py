"""From a request to the indicators that hold for it, as one baseline sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.indicators import Hits, Indicator
from tidegauge.drift import descriptors
from tidegauge.drift.baseline import BinEdges, Cluster, Projection
from tidegauge.drift.errors import VectorsError
from tidegauge.drift.frequent import is_frequent
from tidegauge.drift.novelty import novelty
from tidegauge.drift.partition import belonging, cells_of
from tidegauge.drift.unit_vectors import assign, unit_vectors

__all__ = [
    "EMBEDDED",
    "NOVELTY_ASKED",
    "SHARES",
    "ProjectedVectors",
    "cell_label",
    "cells",
    "hit_table",
    "hits_of",
    "indicators",
    "novelty_above",
    "project",
]

Vectors: TypeAlias = NDArray[np.float32]

EMBEDDED = "embedded"
"""Count, in a sketch's hits, of the events that the indicators were asked of."""

NOVELTY_ASKED = "novelty/asked"
"""Count of the events that novelty was asked of, where a baseline has frequent texts: those of
other texts. Counted in a sketch's hits, and tested like any indicator."""

SHARES = {
    "clusters": 0.18,
    "novelty": 0.7,
    "projections": 0.05,
    "languages": 0.04,
    "lengths": 0.03,
}
"""How the families share what the bets on urns leave of the monitor's budget."""

_OTHER = "other"


@dataclass(frozen=True, slots=True)
class ProjectedVectors:
    """Where vectors lie, seen through a lens.

    Attributes:
        cluster: Index of the nearest centroid, shape (n,).
        novelty: How strange each is, shape (n,): see ``drift.novelty``.
        low: Whether the projection lies in the low tail, shape (n, P).
        high: Whether it lies in the high tail, shape (n, P).
        reduced: Unit vectors in the lens's own directions, shape (n, D).
        frequent: Whether its text is a frequent one, shape (n,): novelty is not asked of it.
    """

    cluster: NDArray[np.int64]
    novelty: NDArray[np.float32]
    low: NDArray[np.bool_]
    high: NDArray[np.bool_]
    reduced: Vectors
    frequent: NDArray[np.bool_]

    def of(self, rows: Sequence[int]) -> ProjectedVectors:
        """Return those of some rows."""
        return ProjectedVectors(
            self.cluster[rows],
            self.novelty[rows],
            self.low[rows],
            self.high[rows],
            self.reduced[rows],
            self.frequent[rows],
        )


def project(
    lens: Projection, texts: Sequence[str], vectors: Vectors, *, scores: Vectors | None = None
) -> ProjectedVectors:
    """Look at requests through a lens.

    Args:
        lens: The baseline's.
        texts: As they were prepared for the embedder, n of them.
        vectors: Their unit vectors, shape (n, d).
        scores: Their novelty, where it is known already.

    Raises:
        VectorsError: They have another dimension than the baseline's.
    """
    dimension = len(lens.reduction.mean)
    if vectors.ndim != 2 or vectors.shape[1] != dimension:  # noqa: PLR2004
        raise VectorsError(
            f"the baseline has vectors of {dimension} numbers, got an array of "
            f"shape {vectors.shape}: activate a baseline of this embedder, or build one"
        )
    along = lens.reduction.along(vectors)
    reduced, leading = unit_vectors(along), along[:, : len(lens.lows)]
    if scores is None:
        scores = novelty(reduced, lens.points)
    return ProjectedVectors(
        cluster=assign(reduced, lens.centroids),
        novelty=scores,
        low=leading < lens.lows,
        high=leading > lens.highs,
        reduced=reduced,
        frequent=is_frequent(lens.frequent, texts),
    )


def cells(lens: Projection, cuts: BinEdges, sightings: ProjectedVectors) -> NDArray[np.int64]:
    """Return the cell of each request in each division, and last in that of novelty.

    Args:
        lens: What the requests were looked at through.
        cuts: Those of the reference that they are held to.
        sightings: What was seen of n requests.

    Returns:
        Indices, shape (n, M + 1); -1 in the last column for frequent texts.
    """
    strange = np.broadcast_to(
        sightings.novelty[:, None], (len(sightings.novelty), len(cuts.levels))
    )
    found = [
        *(
            cells_of(belonging(sightings.reduced, centroids), borders)
            for centroids, borders in zip(lens.divisions, cuts.topics, strict=True)
        ),
        np.where(sightings.frequent, -1, cells_of(strange, cuts.levels)),
    ]
    return np.stack(found, axis=1)


def hits_of(
    lens: Projection, texts: Sequence[str], sightings: ProjectedVectors
) -> list[tuple[str, ...]]:
    """Return the names of the indicators that hold for each text, ``EMBEDDED`` first."""
    asked = (NOVELTY_ASKED,) if len(lens.frequent) else ()
    strange = (*asked, *(novelty_above(level) for level in lens.level_names))
    above = len(asked) + np.searchsorted(lens.levels, sightings.novelty, side="left")
    held = np.where(sightings.frequent, 0, above).tolist()
    tails: list[list[str]] = [[] for _ in texts]
    for side, beyond in (("low", sightings.low), ("high", sightings.high)):
        for row, direction in np.argwhere(beyond).tolist():
            tails[row].append(_tail(direction, side))
    found = []
    for row, cluster in enumerate(sightings.cluster.tolist()):
        code = descriptors.language(texts[row])
        found.append(
            (
                EMBEDDED,
                _cluster(cluster),
                *strange[: held[row]],
                *tails[row],
                _language(code if code in lens.languages else _OTHER),
                _length(descriptors.length(texts[row])),
            )
        )
    return found


def hit_table(
    lens: Projection, texts: Sequence[str], sightings: ProjectedVectors, tested: Sequence[Indicator]
) -> NDArray[np.bool_]:
    """Return whether each of the J tested indicators holds for each text, shape (n, J)."""
    column = {indicator.name: j for j, indicator in enumerate(tested)}
    table = np.zeros((len(texts), len(tested)), np.bool_)
    for row, names in enumerate(hits_of(lens, texts, sightings)):
        table[row, [column[name] for name in names if name != EMBEDDED]] = True
    return table


def indicators(lens: Projection, clusters: Sequence[Cluster]) -> tuple[Indicator, ...]:
    """Return everything that is tested, in a fixed order."""
    others = [(NOVELTY_ASKED, "text that is not frequent in the baseline", "novelty")]
    named = [
        *((_cluster(k), cluster.title, "clusters") for k, cluster in enumerate(clusters)),
        *(
            (novelty_above(level), f"stranger than {float(level):.1%} of the baseline", "novelty")
            for level in lens.level_names
        ),
        *(others if len(lens.frequent) else ()),
        *(
            (_tail(i, side), f"{side} end of direction {i + 1}", "projections")
            for i in range(len(lens.lows))
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
        Indicator(
            name=name, title=title, family=family, counter=Hits(name, of=asked_by(lens, name))
        )
        for name, title, family in named
    )


def asked_by(lens: Projection, indicator: str) -> str:
    """Return the name of the count of events that an indicator is asked of."""
    levels = {novelty_above(level) for level in lens.level_names}
    return NOVELTY_ASKED if len(lens.frequent) and indicator in levels else EMBEDDED


@cache
def cell_label(division: int, cell: int) -> str:
    """Return a cell's name in a sketch's totals; novelty is the division after the last."""
    return f"{division}/{cell}"


@cache
def _cluster(index: int) -> str:
    return f"cluster/{index}"


@cache
def novelty_above(level: str) -> str:
    """Return the name of a novelty level's indicator."""
    return f"novelty/above_{level}"


@cache
def _tail(direction: int, side: str) -> str:
    return f"projection/{direction}/{side}"


@cache
def _language(code: str) -> str:
    return f"language/{code}"


@cache
def _length(name: str) -> str:
    return f"length/{name}"
