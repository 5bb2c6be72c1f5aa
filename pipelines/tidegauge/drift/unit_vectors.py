"""Unit vectors: where embeddings are compared, by cosine."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["assign", "unit_vectors"]

Vectors: TypeAlias = NDArray[np.float32]


def unit_vectors(vectors: Vectors) -> Vectors:
    """Return vectors of length 1, of the same shape; a zero vector stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)


def assign(vectors: Vectors, centroids: Vectors) -> NDArray[np.int64]:
    """Return the index of each vector's nearest centroid, shape (n,)."""
    return np.asarray(np.argmax(vectors @ centroids.T, axis=1), np.int64)
