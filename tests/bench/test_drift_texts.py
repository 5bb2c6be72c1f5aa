from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drift_texts import BenchError, read_texts, with_vectors


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    rows = [{"text": f"where is number {i}", "topic": f"t{i % 3}"} for i in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_texts_in_other_words_stand_behind_their_originals(data: Path) -> None:
    texts = read_texts(data, seed=0)
    assert len(texts.topics) == 12
    assert len(texts.texts) == 12 + len(texts.originals) == 24
    assert sorted(texts.originals) == list(range(12))
    for manner, said in enumerate(texts.texts[12:16]):
        original = texts.texts[texts.originals[manner]]
        assert said != original
        assert f"{texts.originals[manner]}"[-1] in said


def test_vectors_are_computed_once_for_each_embedder(data: Path, tmp_path: Path) -> None:
    texts = read_texts(data, seed=0)
    asked: list[int] = []

    def embed(some: list[str]) -> NDArray[np.float32]:
        asked.append(len(some))
        return np.array([[len(text), 1 / 3] for text in some], np.float32)

    first = with_vectors(texts, embed, "one", tmp_path)
    assert first.shape == (24, 2)
    np.testing.assert_array_equal(with_vectors(texts, embed, "one", tmp_path), first)
    assert asked == [12, 12]
    with_vectors(texts, embed, "another", tmp_path)
    assert asked == [12, 12, 12, 12]


def test_a_line_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": 3}\n')
    with pytest.raises(BenchError, match="a line is"):
        read_texts(path, 0)
    with pytest.raises(BenchError, match="cannot read"):
        read_texts(tmp_path / "absent.jsonl", 0)
