"""The codebook: topics as the clusters of spherical k-means."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["assign", "cluster_count", "fit_codebook", "part_count"]

Vectors: TypeAlias = NDArray[np.float32]

_LARGEST, _FEWEST, _TEXTS_A_CLUSTER = 64, 4, 40
_ROUNDS = 30
_MOST_PARTS, _TEXTS_A_PART = 256, 30


def cluster_count(texts: int) -> int:
    """Return how many clusters so many texts can carry: 64, fewer for small baselines.

    Example:
        >>> cluster_count(300), cluster_count(7_500)
        (7, 64)
    """
    return min(max(texts // _TEXTS_A_CLUSTER, _FEWEST), _LARGEST)


def part_count(texts: int) -> int:
    """Return how finely so many texts can divide the space for adaptive bets.

    Example:
        >>> part_count(300), part_count(7_500)
        (10, 250)
    """
    return min(max(texts // _TEXTS_A_PART, _FEWEST), _MOST_PARTS)


def fit_codebook(
    vectors: Vectors, clusters: int, rng: np.random.Generator, *, tries: int = 3
) -> Vectors:
    """Find centroids on the unit sphere: k-means++ seeds, then Lloyd's rounds by cosine.

    The best of a few tries is returned.

    Args:
        vectors: Unit vectors, shape (n, d), n >= clusters.
        clusters: How many centroids.
        rng: Draws the seeds.
        tries: How many.

    Returns:
        Unit centroids, shape (clusters, d).

    Source: Dhillon and Modha, "Concept decompositions for large sparse text data using
    clustering" (2001); Arthur and Vassilvitskii, "k-means++" (2007).
    """
    found = [_from_seeds(vectors, _seeds(vectors, clusters, rng)) for _ in range(tries)]
    return max(found, key=lambda one: one[1])[0]


def _from_seeds(vectors: Vectors, centroids: Vectors) -> tuple[Vectors, float]:
    """Return centroids and the mean cosine to the nearest."""
    clusters = len(centroids)
    before: NDArray[np.int64] | None = None
    for _ in range(_ROUNDS):
        nearest = assign(vectors, centroids)
        if before is not None and np.array_equal(nearest, before):
            break
        before = nearest
        members = (nearest[None, :] == np.arange(clusters)[:, None]).astype(np.float32)
        sums = members @ vectors
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centroids = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centroids)
        centroids = centroids.astype(np.float32)
    return centroids, float((vectors @ centroids.T).max(axis=1).mean())


def assign(vectors: Vectors, centroids: Vectors) -> NDArray[np.int64]:
    """Return the index of each vector's nearest centroid, shape (n,)."""
    return np.asarray(np.argmax(vectors @ centroids.T, axis=1), np.int64)


def _seeds(vectors: Vectors, clusters: int, rng: np.random.Generator) -> Vectors:
    chosen = [int(rng.integers(len(vectors)))]
    distance = np.full(len(vectors), np.inf)
    for _ in range(clusters - 1):
        to_last = 1 - vectors @ vectors[chosen[-1]]
        distance = np.minimum(distance, np.maximum(to_last, 0).astype(np.float64))
        total = distance.sum()
        if total <= 0:  # fewer different vectors than clusters
            chosen.append(int(rng.integers(len(vectors))))
        else:
            chosen.append(int(rng.choice(len(vectors), p=distance / total)))
    return vectors[chosen]
