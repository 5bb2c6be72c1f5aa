"""Vectors of requests: unit length, nearest centroid, coordinates in a baseline's directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Reduction", "assign", "unit_vectors"]

Vectors: TypeAlias = NDArray[np.float32]


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


def assign(vectors: Vectors, centroids: Vectors) -> NDArray[np.int64]:
    """Return the index of each vector's nearest centroid, shape (n,)."""
    return np.asarray(np.argmax(vectors @ centroids.T, axis=1), np.int64)
