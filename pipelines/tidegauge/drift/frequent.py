"""Texts that make up much of the traffic: a health probe, a button, a short reply.

Novelty is not asked of them. A frequent text is measured without itself and its copies, so that
all its requests lie at one level, which may be any: at a high one they hide what is strange. And
what share of the traffic they have is a number that order statistics do not tell. Given that a
request's text is none of them, its novelty has the law of the other requests of the baseline,
because which texts are frequent is decided on a tenth of the baseline's requests and novelty is
counted on the others. How many requests have other texts is tested by a band of its own.

A text is recognised by its hash, so that a baseline holds no text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_frequent", "is_frequent", "text_hash"]

Hashes: TypeAlias = NDArray[np.uint64]
Flags: TypeAlias = NDArray[np.bool_]

_COPIES = 3
"""From so many copies in a tenth of the baseline a text is frequent."""
_FEWEST_OTHERS = 10
"""With fewer requests of other texts in that tenth, novelty would be counted on too few."""


def text_hash(text: str) -> int:
    """Return a text's hash of 64 bits."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def find_frequent(texts: Sequence[str]) -> Hashes:
    """Return the hashes of the frequent texts, sorted, shape (R,).

    Args:
        texts: Those of a tenth of the baseline's requests, with their copies.

    Returns:
        The hashes; none where hardly any other texts would be left.
    """
    hashes, copies = np.unique(
        np.array([text_hash(text) for text in texts], np.uint64), return_counts=True
    )
    frequent = copies >= _COPIES
    if copies[~frequent].sum() < _FEWEST_OTHERS:
        return hashes[:0]
    return np.asarray(hashes[frequent])


def is_frequent(frequent: Hashes, texts: Sequence[str]) -> Flags:
    """Return whether each text is a frequent one, shape (n,).

    Args:
        frequent: What ``find_frequent`` returned.
        texts: As they were prepared for the embedder, n of them.
    """
    if not len(frequent):
        return np.zeros(len(texts), np.bool_)
    hashes = np.array([text_hash(text) for text in texts], np.uint64)
    return np.isin(hashes, frequent)
