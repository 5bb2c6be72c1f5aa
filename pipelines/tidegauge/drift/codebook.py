"""The codebook: topics as the clusters of k-means on unit vectors."""

from __future__ import annotations

import warnings
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from tidegauge.drift.vectors import unit_vectors

__all__ = ["cluster_count", "fit_codebook", "part_count"]

Vectors: TypeAlias = NDArray[np.float32]

_LARGEST, _FEWEST, _TEXTS_A_CLUSTER = 64, 4, 40
_MOST_PARTS, _TEXTS_A_PART = 256, 8


def cluster_count(texts: int) -> int:
    """Return the number of clusters for a number of texts: 64, fewer for small baselines.

    Example:
        >>> cluster_count(300), cluster_count(7_500)
        (7, 64)
    """
    return min(max(texts // _TEXTS_A_CLUSTER, _FEWEST), _LARGEST)


def part_count(texts: int) -> int:
    """Return the number of cells of a division for a number of texts.

    Example:
        >>> part_count(300), part_count(5_000)
        (37, 256)
    """
    return min(max(texts // _TEXTS_A_PART, _FEWEST), _MOST_PARTS)


def fit_codebook(vectors: Vectors, clusters: int, rng: np.random.Generator) -> Vectors:
    """Find the centroids of clusters by k-means.

    Args:
        vectors: Unit vectors, shape (n, d), n >= clusters.
        clusters: Number of centroids.
        rng: Draws the seeds.

    Returns:
        Unit vectors, shape (clusters, d); some are equal where there are fewer different
        vectors than clusters.
    """
    seed = int(rng.integers(2**31))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # some centroids may be equal
        found = KMeans(clusters, n_init=1, random_state=seed).fit(vectors)
    return unit_vectors(found.cluster_centers_)
