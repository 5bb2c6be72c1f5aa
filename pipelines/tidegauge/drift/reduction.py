"""Fits the reduction: the directions in which requests on different topics differ.

Most of an embedding's directions hold what all requests of a service have in common, or how
requests on one topic differ. Distances in the leading principal directions separate a new topic
from the known ones far better: with 15,000 texts on a hundred topics, requests on topics that the
baseline lacks hold 2.5 times the information, and a comparison costs a sixth. Within one domain
topics differ less than the wordings of a topic do. So vectors are first divided, half way to
whitening, by how much they vary within clusters, and the principal directions are those of the
result: on one domain's topics that nearly doubles the information.

Source: Fisher's discriminant analysis with clusters for classes, and a ridge for few vectors
(Friedman, "Regularized discriminant analysis", 1989).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.drift.codebook import fit_codebook
from tidegauge.drift.vectors import Reduction, assign, unit_vectors

__all__ = ["fit_reduction"]

Vectors: TypeAlias = NDArray[np.float32]
Floats: TypeAlias = NDArray[np.float64]

_DIRECTIONS = 64
_FEWEST_A_DIRECTION = 4
_WHITENING = 0.25
"""Power of a variance that a direction is divided by: half way to whitening."""
_RIDGE = 1.0
"""Part of the mean variance that is added to that of each direction within clusters."""
_TEXTS_A_CLUSTER, _FEWEST_CLUSTERS, _MOST_CLUSTERS = 20, 4, 128
_NO_VARIANCE = 1e-12


def fit_reduction(vectors: Vectors, rng: np.random.Generator) -> Reduction:
    """Find the directions in which the topics of vectors differ.

    Too few vectors do not tell them from noise: then all directions are kept, unscaled.

    Args:
        vectors: Unit vectors, shape (n, d).
        rng: Draws the seeds of the clusters.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    variances, axes = _principal(centred)
    if len(vectors) >= _FEWEST_A_DIRECTION * _DIRECTIONS:
        leading = axes[:_DIRECTIONS] / _scale(variances[:_DIRECTIONS])[:, None]
        within = _within_clusters(
            centred, unit_vectors((centred @ leading.T).astype(np.float32)), rng
        )
        variances, own = _principal(within)
        ridge = _RIDGE * float(variances.mean())
        narrowed = (own.T / _scale(variances + ridge)) @ own
        _, axes = _principal(centred @ narrowed)
        axes = axes[:_DIRECTIONS] @ narrowed
    return Reduction(mean.astype(np.float32), axes.astype(np.float32))


def _principal(centred: Floats) -> tuple[Floats, Floats]:
    """Return the variances along the principal directions, the largest first, and these as rows."""
    variances, directions = np.linalg.eigh(np.atleast_2d(np.cov(centred.T)))
    return variances[::-1], directions[:, ::-1].T


def _scale(variances: Floats) -> Floats:
    return np.asarray(np.maximum(variances, _NO_VARIANCE) ** _WHITENING)


def _within_clusters(centred: Floats, reduced: Vectors, rng: np.random.Generator) -> Floats:
    """Return vectors less the mean of their cluster, shape (n, d).

    Args:
        centred: The vectors less their mean, shape (n, d).
        reduced: The same in leading directions, unit vectors to find clusters of, shape (n, D).
        rng: Draws the clusters' seeds.
    """
    wanted = min(max(len(reduced) // _TEXTS_A_CLUSTER, _FEWEST_CLUSTERS), _MOST_CLUSTERS)
    cluster = assign(reduced, fit_codebook(reduced, wanted, rng))
    sums = np.zeros((wanted, centred.shape[1]))
    np.add.at(sums, cluster, centred)
    sizes = np.bincount(cluster, minlength=wanted)
    return np.asarray(centred - (sums / np.maximum(sizes, 1)[:, None])[cluster])
