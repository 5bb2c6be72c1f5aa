"""Vectors of texts, embedded once and kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.promise.errors import StoredVectorsError
from tidegauge.schemas.hashing import hash_64

__all__ = ["StoredVectors", "embed_missing"]

Vectors: TypeAlias = NDArray[np.float32]

_AT_ONCE = 2_048


class _Embeds(Protocol):
    """The part of an embedder that is used."""

    @property
    def fingerprint(self) -> str:
        """Hash of the weights and of what else the vectors depend on."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (n, d); a row of NaN for a text without one."""


class StoredVectors:
    """An embedder that looks vectors up.

    Args:
        fingerprint: Fingerprint of the embedder that computed them.
        hashes: Hash of each text, shape (n,).
        vectors: Their unit vectors, shape (n, d).
    """

    def __init__(self, fingerprint: str, hashes: NDArray[np.uint64], vectors: Vectors) -> None:
        self.fingerprint = fingerprint
        self._hashes = hashes
        self._vectors = vectors
        self._row = {int(number): row for row, number in enumerate(hashes)}
        self._row_of_text: dict[str, int] = {}

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of some texts, shape (n, d).

        Raises:
            StoredVectorsError: A text was not embedded beforehand.
        """
        return self._vectors[[self._row_for(text) for text in texts]]

    def lacks(self, text: str) -> bool:
        """Return whether a text has no vector."""
        return hash_64(text) not in self._row

    def _row_for(self, text: str) -> int:
        row = self._row_of_text.get(text)
        if row is None:
            row = self._row.get(hash_64(text))
            if row is None:
                raise StoredVectorsError(f"the text {text[:60]!r} was not embedded beforehand")
            self._row_of_text[text] = row
        return row

    def extended(self, texts: Sequence[str], vectors: Vectors) -> StoredVectors:
        """Return these vectors and those of more texts."""
        added = np.array([hash_64(text) for text in texts], np.uint64)
        return StoredVectors(
            self.fingerprint,
            np.concatenate([self._hashes, added]),
            np.concatenate([self._vectors, vectors]) if len(self._vectors) else vectors,
        )

    def save(self, path: Path) -> None:
        """Write the vectors to a file, which appears whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".part.npz")
        np.savez(
            beside,
            fingerprint=np.array(self.fingerprint),
            hashes=self._hashes,
            vectors=self._vectors,
        )
        beside.replace(path)

    @classmethod
    def load(cls, path: Path, fingerprint: str) -> StoredVectors:
        """Read the vectors of an embedder; none if the file is missing or another embedder's."""
        if path.exists():
            with np.load(path) as read:
                if str(read["fingerprint"]) == fingerprint:
                    return cls(fingerprint, read["hashes"], read["vectors"])
        return cls.empty(fingerprint)

    @classmethod
    def empty(cls, fingerprint: str) -> StoredVectors:
        """Return no vectors of an embedder."""
        return cls(fingerprint, np.zeros(0, np.uint64), np.zeros((0, 0), np.float32))


def embed_missing(
    path: Path, embedder: _Embeds, texts: Sequence[str], tell: Callable[[str], None]
) -> StoredVectors:
    """Return the vectors of texts, computing and saving those that the file does not hold.

    Args:
        path: The file.
        embedder: Computes what is missing.
        texts: The texts; copies are computed once.
        tell: Told how far it is.
    """
    stored = StoredVectors.load(path, embedder.fingerprint)
    missing = [text for text in dict.fromkeys(texts) if stored.lacks(text)]
    found = []
    for start in range(0, len(missing), _AT_ONCE):
        tell(f"embedding: {start:,} of {len(missing):,} texts")
        found.append(embedder.embed(missing[start : start + _AT_ONCE]))
    if found:
        stored = stored.extended(missing, np.concatenate(found))
        stored.save(path)
    return stored
