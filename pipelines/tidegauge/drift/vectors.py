"""Vectors of requests and where they lie: directions, nearest centroid, cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reduction", "assign", "cells_of", "margins", "unit_vectors"]

Vectors: TypeAlias = NDArray[np.float32]
Counts: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Reduction:
    """A linear map to the directions of ``drift.reduction``.

    Attributes:
        mean: Mean vector of the baseline, shape (d,).
        axes: Directions, ordered by how much topics differ along them, shape (D, d).
    """

    mean: Vectors
    axes: Vectors

    def along(self, vectors: Vectors) -> Vectors:
        """Return coordinates along the axes, shape (n, D), of vectors of shape (n, d)."""
        return np.asarray((vectors - self.mean) @ self.axes.T, np.float32)


def unit_vectors(vectors: Vectors) -> Vectors:
    """Return vectors of length 1, of the same shape; a zero vector stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def assign(vectors: Vectors, centroids: Vectors) -> Counts:
    """Return the index of each vector's nearest centroid, shape (n,)."""
    return np.asarray(np.argmax(vectors @ centroids.T, axis=1), np.int64)


def margins(vectors: Vectors, centroids: Vectors) -> Vectors:
    """Return how much nearer each vector is to a centroid than to all before it.

    Args:
        vectors: Unit vectors, shape (n, D).
        centroids: Unit vectors, shape (F, D).

    Returns:
        Differences of cosines for the second centroid and those after it, shape (n, F-1).
    """
    # One centroid after the other: NumPy's running maximum along an axis is far slower.
    cosines = np.ascontiguousarray((vectors @ centroids.T).T)
    best, nearer = cosines[0].copy(), np.empty_like(cosines[1:])
    for cosine, difference in zip(cosines[1:], nearer, strict=True):
        np.subtract(cosine, best, out=difference)
        np.maximum(best, cosine, out=best)
    return np.asarray(nearer.T)


def cells_of(values: Vectors, bin_edges: Vectors) -> Counts:
    """Return each row's cell, shape (n,): the last one whose edge its value exceeds, or 0.

    Args:
        values: Values of the rows for the cells after the first, shape (n, F-1).
        bin_edges: Where these cells begin, shape (F-1,).
    """
    inside = values > bin_edges
    last = values.shape[1] - np.argmax(inside[:, ::-1], axis=1)
    return np.where(inside.any(axis=1), last, 0).astype(np.int64)
