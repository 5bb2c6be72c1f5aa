"""Languages that an embedder is blind to: it gives all their texts nearly the same vector.

A model that was trained on English alone reads other scripts as unknown signs. Questions on a dozen
subjects then have mean cosines of .5 and more with each other, where English ones have .1: topics
and novelty of such texts are not measured, and a monitor that says nothing of it would be taken to
watch them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.drift.descriptors import MEDIA, language
from tidegauge.reports.formatting import percent

__all__ = ["LEAST_SHARE", "MULTILINGUAL_MODEL", "NO_LANGUAGE", "blind_languages", "remark"]

Vectors: TypeAlias = NDArray[np.float32]

MULTILINGUAL_MODEL = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
"""A model that was trained on some fifty languages, and takes texts without a prefix."""

LEAST_SHARE = 0.05
"""Share of the texts from which on a language is looked at."""
_FEWEST = 20
"""Number of different texts from which on it is."""
_ALIKE = 0.45
NO_LANGUAGE = frozenset({MEDIA, "none"})
"""Codes of texts in no language."""


def blind_languages(texts: Sequence[str], vectors: Vectors) -> dict[str, float]:
    """Return the languages that an embedder is blind to, with their shares of the texts.

    Args:
        texts: Texts, n of them.
        vectors: Their unit vectors, shape (n, d).

    Returns:
        Language or script -> share, the largest first.
    """
    first = np.sort(np.unique(np.array(texts, object), return_index=True)[1])
    codes = np.array([language(text) for text in texts])
    different = codes[first]
    found = {}
    for code in dict.fromkeys(codes.tolist()):
        share = float((codes == code).mean())
        rows = first[different == code]
        if code in NO_LANGUAGE or share < LEAST_SHARE or len(rows) < _FEWEST:
            continue
        if _mean_cosine(vectors[rows]) > _ALIKE:
            found[code] = share
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def remark(blind: Mapping[str, float]) -> str:
    """Return what is not measured, in a sentence; empty where nothing is.

    Example:
        >>> remark({"kana": 0.12}).partition(",")[0]
        'Not measured: the topics of 12% of the texts (kana)'
    """
    if not blind:
        return ""
    return (
        f"Not measured: the topics of {percent(sum(blind.values()))} of the texts "
        f"({', '.join(blind)}), which this embedder cannot tell apart. Set TIDEGAUGE_DRIFT_MODEL "
        f"to a multilingual model, such as {MULTILINGUAL_MODEL}, and build a baseline with it."
    )


def _mean_cosine(vectors: Vectors) -> float:
    """Return the mean cosine of pairs of different unit vectors."""
    n = len(vectors)
    return float((np.linalg.norm(vectors.sum(axis=0)) ** 2 - n) / (n * (n - 1)))
