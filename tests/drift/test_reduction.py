from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.drift.codebook import fit_codebook
from tidegauge.drift.novelty import index_points, novelty
from tidegauge.drift.reduction import fit_reduction
from tidegauge.drift.vectors import unit_vectors

Vectors = NDArray[np.float32]
DIRECTIONS, TOPICS, WORDINGS = 128, 12, 24


class Domain:
    """Topics that differ less than the requests on one topic do."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._topics = self._rng.normal(size=(TOPICS, DIRECTIONS)) * 0.06
        self._wordings = self._rng.normal(size=(WORDINGS, DIRECTIONS))

    def ask(self, count: int, topics: range) -> Vectors:
        """Return unit vectors of requests, shape (count, DIRECTIONS)."""
        worded = self._rng.normal(size=(count, WORDINGS)) @ self._wordings * 0.02
        noise = self._rng.normal(size=(count, DIRECTIONS)) * 0.1
        chosen = self._rng.choice(topics, count)
        return unit_vectors((self._topics[chosen] + worded + noise).astype(np.float32))


def told_apart(known: Vectors, new: Vectors, others: Vectors) -> float:
    """Return how often a request on a new topic is stranger than another one on a known topic."""
    points, _ = index_points(known, fit_codebook(known, 12, np.random.default_rng(1)))
    usual = np.sort(novelty(others, points))
    return float(np.searchsorted(usual, novelty(new, points)).mean() / len(usual))


def test_a_new_topic_of_one_domain_is_told_apart_from_the_known_ones() -> None:
    domain = Domain()
    past, others = domain.ask(900, range(TOPICS - 1)), domain.ask(300, range(TOPICS - 1))
    new = domain.ask(300, range(TOPICS - 1, TOPICS))
    reduction = fit_reduction(past, np.random.default_rng(2))
    reduced = [unit_vectors(reduction.along(vectors)) for vectors in (past, new, others)]
    assert told_apart(*reduced) > 0.9, "principal directions alone: .86"


@pytest.mark.parametrize("count", [30, 500])
def test_copies_of_one_text_have_a_reduction(count: int) -> None:
    vectors = np.tile(np.eye(300, dtype=np.float32)[:1], (count, 1))
    reduction = fit_reduction(vectors, np.random.default_rng(0))
    assert np.isfinite(reduction.axes).all()
    assert np.isfinite(reduction.along(vectors)).all()


def test_few_vectors_keep_all_directions() -> None:
    vectors = Domain().ask(100, range(TOPICS))
    assert fit_reduction(vectors, np.random.default_rng(0)).axes.shape == (DIRECTIONS, DIRECTIONS)
