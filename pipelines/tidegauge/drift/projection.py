"""Projects requests with a baseline, and returns the indicators that hold for them."""

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
from tidegauge.drift.novelty import is_frequent, novelty
from tidegauge.drift.vectors import assign, cells_of, margins, unit_vectors
from tidegauge.reports.formatting import percent
from tidegauge.schemas import measures

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

EMBEDDED = measures.EMBEDDED
"""Count, in a sketch's hits, of the events for which the indicators were evaluated."""

NOVELTY_ASKED = "novelty/asked"
"""Count of the events for which novelty was evaluated, where a baseline has frequent texts: the
events of other texts. Counted in a sketch's hits, and tested like any indicator."""

SHARES = {
    "clusters": 0.18,
    "novelty": 0.7,
    "projections": 0.05,
    "languages": 0.04,
    "lengths": 0.03,
}
"""How the families share the part of the monitor's budget that the Polya urns leave."""

_OTHER = "other"
_LANGUAGE_TITLES = {descriptors.MEDIA: "no text, but images, sound or files alone"}


@dataclass(frozen=True, slots=True)
class ProjectedVectors:
    """Where vectors lie in a baseline's projection.

    Attributes:
        cluster: Index of the nearest centroid, shape (n,).
        novelty: Novelty of each vector, shape (n,): see ``drift.novelty``.
        low: Whether the projection lies in the low tail, shape (n, P).
        high: Whether it lies in the high tail, shape (n, P).
        reduced: Unit vectors in the projection's own directions, shape (n, D).
        frequent: Whether its text is frequent, shape (n,): novelty is then not evaluated.
    """

    cluster: NDArray[np.int64]
    novelty: NDArray[np.float32]
    low: NDArray[np.bool_]
    high: NDArray[np.bool_]
    reduced: Vectors
    frequent: NDArray[np.bool_]

    def of(self, rows: Sequence[int]) -> ProjectedVectors:
        """Return the projected vectors of some rows."""
        return ProjectedVectors(
            self.cluster[rows],
            self.novelty[rows],
            self.low[rows],
            self.high[rows],
            self.reduced[rows],
            self.frequent[rows],
        )


def project(
    projection: Projection, texts: Sequence[str], vectors: Vectors, *, scores: Vectors | None = None
) -> ProjectedVectors:
    """Project requests with a baseline's projection.

    Args:
        projection: The baseline's projection.
        texts: The texts that were prepared for the embedder, n of them.
        vectors: Their unit vectors, shape (n, d).
        scores: Their novelty, where it is known already.

    Raises:
        VectorsError: The vectors have another dimension than the baseline's.
    """
    dimension = len(projection.reduction.mean)
    if vectors.ndim != 2 or vectors.shape[1] != dimension:  # noqa: PLR2004
        raise VectorsError(
            f"the baseline has vectors of {dimension} numbers, got an array of "
            f"shape {vectors.shape}: activate a baseline of this embedder, or build one"
        )
    along = projection.reduction.along(vectors)
    reduced, leading = unit_vectors(along), along[:, : len(projection.lows)]
    if scores is None:
        scores = novelty(reduced, projection.points)
    return ProjectedVectors(
        cluster=assign(reduced, projection.centroids),
        novelty=scores,
        low=leading < projection.lows,
        high=leading > projection.highs,
        reduced=reduced,
        frequent=is_frequent(projection.frequent, texts),
    )


def cells(
    projection: Projection, bin_edges: BinEdges, projected: ProjectedVectors
) -> NDArray[np.int64]:
    """Return the cell of each request in each division, the division of novelty last.

    Args:
        projection: The baseline's projection.
        bin_edges: The bin edges of the requests' reference.
        projected: The projected vectors of n requests.

    Returns:
        Indices, shape (n, M + 1); -1 in the last column for frequent texts.
    """
    strange = np.broadcast_to(
        projected.novelty[:, None], (len(projected.novelty), len(bin_edges.levels))
    )
    found = [
        *(
            cells_of(margins(projected.reduced, centroids), borders)
            for centroids, borders in zip(projection.divisions, bin_edges.topics, strict=True)
        ),
        np.where(projected.frequent, -1, cells_of(strange, bin_edges.levels)),
    ]
    return np.stack(found, axis=1)


def hits_of(
    projection: Projection, texts: Sequence[str], projected: ProjectedVectors
) -> list[tuple[str, ...]]:
    """Return what a sketch counts of each text: the trial first, then what holds for it."""
    prefix = projection.prefix
    asked = (_named(prefix, NOVELTY_ASKED),) if len(projection.frequent) else ()
    strange = (
        *asked,
        *(_named(prefix, novelty_above(level)) for level in projection.level_names),
    )
    above = len(asked) + np.searchsorted(projection.levels, projected.novelty, side="left")
    held = np.where(projected.frequent, 0, above).tolist()
    tails: list[list[str]] = [[] for _ in texts]
    for side, beyond in (("low", projected.low), ("high", projected.high)):
        for row, direction in np.argwhere(beyond).tolist():
            tails[row].append(_named(prefix, _tail(direction, side)))
    found = []
    for row, cluster in enumerate(projected.cluster.tolist()):
        found.append(
            (
                _named(prefix, EMBEDDED),
                _named(prefix, _cluster(cluster)),
                *strange[: held[row]],
                *tails[row],
                *_languages(projection, texts[row]),
                _named(prefix, _length(descriptors.length(texts[row]))),
            )
        )
    return found


def _languages(projection: Projection, text: str) -> tuple[str, ...]:
    """Return what a sketch counts of a text's language; nothing where only one is counted."""
    if projection.language:
        return ()
    code = descriptors.language(text)
    known = code if code in projection.languages else _OTHER
    return (_named(projection.prefix, _language(known)),)


def hit_table(
    projection: Projection,
    texts: Sequence[str],
    projected: ProjectedVectors,
    tested: Sequence[Indicator],
) -> NDArray[np.bool_]:
    """Return whether each of the J tested indicators holds for each text, shape (n, J)."""
    column = {_named(projection.prefix, one.name): j for j, one in enumerate(tested)}
    table = np.zeros((len(texts), len(tested)), np.bool_)
    for row, (_, *names) in enumerate(hits_of(projection, texts, projected)):
        table[row, [column[name] for name in names]] = True
    return table


def indicators(projection: Projection, clusters: Sequence[Cluster]) -> tuple[Indicator, ...]:
    """Return all tested indicators, in a fixed order.

    An indicator has the same name for every kind of unit; the counts in a sketch differ.
    """
    prefix = projection.prefix
    others = [(NOVELTY_ASKED, "text that is not frequent in the baseline", "novelty")]
    named = [
        *((_cluster(k), cluster.title, "clusters") for k, cluster in enumerate(clusters)),
        *(
            (
                novelty_above(level),
                f"stranger than {percent(float(level))} of the baseline",
                "novelty",
            )
            for level in projection.level_names
        ),
        *(others if len(projection.frequent) else ()),
        *(
            (_tail(i, side), f"{side} end of direction {i + 1}", "projections")
            for i in range(len(projection.lows))
            for side in ("low", "high")
        ),
        *(
            (
                _language(code),
                _LANGUAGE_TITLES.get(code, f"language or script: {code}"),
                "languages",
            )
            for code in (() if projection.language else (*projection.languages, _OTHER))
        ),
        *(
            (_length(name), f"length in characters: {name.replace('_', ' ')}", "lengths")
            for name in descriptors.LENGTHS
        ),
    ]
    return tuple(
        Indicator(
            name=name,
            title=title,
            family=family,
            counter=Hits(_named(prefix, name), of=_named(prefix, asked_by(projection, name))),
        )
        for name, title, family in named
    )


def asked_by(projection: Projection, indicator: str) -> str:
    """Return the name of the count of an indicator's trials, without the unit's prefix."""
    levels = {novelty_above(level) for level in projection.level_names}
    return NOVELTY_ASKED if len(projection.frequent) and indicator in levels else EMBEDDED


@cache
def cell_label(prefix: str, division: int, cell: int) -> str:
    """Return a cell's name in a sketch's totals; novelty is the division after the last."""
    return f"{prefix}{division}/{cell}"


@cache
def _named(prefix: str, name: str) -> str:
    return prefix + name


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
