from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tidegauge.adapters.sentence_transformers import Embedder
from tidegauge.adapters.sentence_transformers.embedder import Vectors


def giving(rows: list[list[float]]) -> Embedder:
    """Return an embedder that computes the last text first, and one at a time."""

    def encode(texts: list[str]) -> Iterator[tuple[list[int], Vectors]]:
        for index in reversed(range(len(texts))):
            yield [index], np.array([rows[index]], np.float32)

    return Embedder(encode, fingerprint="f", dimension=2, name="given")


def test_vectors_come_in_the_order_of_the_texts() -> None:
    vectors = giving([[0, 5], [2, 0]]).embed(["a", "b", "a"])
    np.testing.assert_array_equal(vectors, [[0, 1], [1, 0], [0, 1]])


def test_what_is_no_vector_becomes_a_row_of_nan() -> None:
    vectors = giving([[0.0, 0.0], [np.inf, 1.0], [3.0, 4.0]]).embed(["a", "b", "c"])
    assert np.isnan(vectors[:2]).all()
    np.testing.assert_allclose(vectors[2], [0.6, 0.8])


def test_no_texts_give_no_vectors() -> None:
    assert giving([]).embed([]).shape == (0, 2)


def test_copies_are_computed_once_and_all_are_reported() -> None:
    done: list[int] = []
    vectors = giving([[1, 0], [0, 1]]).embed(["a card", "an egg"] * 40, progress=done.append)
    assert done == [40, 40]
    np.testing.assert_array_equal(vectors[0], vectors[78])
