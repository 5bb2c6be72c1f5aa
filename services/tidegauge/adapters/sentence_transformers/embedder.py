"""A model that is loaded, whatever computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Embedder", "Encode", "Vectors"]

Vectors: TypeAlias = NDArray[np.float32]
Encode: TypeAlias = Callable[[list[str]], Iterable[tuple[Sequence[int], Vectors]]]
"""From different texts to batches: which of them, by index, and their vectors."""

_CHUNK = 4_096
"""Texts that are sorted together; this bounds the memory that their tokens take."""


class Embedder:
    """A model that is loaded.

    Args:
        encode: Computes texts in batches of its choice.
        fingerprint: Hash of the weights, the backend, its arithmetic and the length limit:
            vectors of two fingerprints are never compared.
        dimension: Numbers in a vector.
        name: As it was asked for.
    """

    def __init__(self, encode: Encode, *, fingerprint: str, dimension: int, name: str) -> None:
        self._encode = encode
        self.fingerprint = fingerprint
        self.dimension = dimension
        self.name = name

    def embed(
        self, texts: Sequence[str], *, progress: Callable[[int], None] = lambda _: None
    ) -> Vectors:
        """Return unit vectors, shape (n, d), in the order of the texts.

        Equal texts are computed once. With whom a text is computed moves no number of its
        vector by more than rounding does.

        Args:
            texts: What to embed; any may be empty.
            progress: Told, after each batch, how many texts more are done.

        Returns:
            A row of NaN where the model gave a vector that is zero or not finite.
        """
        rows: dict[str, list[int]] = {}
        for row, text in enumerate(texts):
            rows.setdefault(text, []).append(row)
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        different = iter(rows)
        while chunk := list(islice(different, _CHUNK)):
            for indices, found in self._encode(chunk):
                done = 0
                for index, vector in zip(indices, _unit(found), strict=True):
                    places = rows[chunk[index]]
                    vectors[places] = vector
                    done += len(places)
                progress(done)
        return vectors


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[~np.isfinite(lengths) | (lengths == 0)] = np.nan
    return np.asarray(vectors / lengths, np.float32)
