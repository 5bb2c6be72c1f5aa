from __future__ import annotations

import numpy as np
import pytest

from tidegauge.drift.blindness import blind_languages, remark
from tidegauge.drift.vectors import unit_vectors

ENGLISH = [f"how do I open the door number {number}" for number in range(80)]
JAPANESE = [f"ドアを開けるにはどうすればいいですか {number}" for number in range(30)]


def vectors(rng: np.random.Generator, count: int, *, alike: float) -> np.ndarray:
    """Return unit vectors whose mean cosine is about ``alike``."""
    own = unit_vectors(rng.normal(size=(count, 64)).astype(np.float32))
    common = np.zeros(64, np.float32)
    common[0] = 1.0
    return unit_vectors(np.sqrt(alike) * common + np.sqrt(1 - alike) * own)


def test_a_language_whose_texts_are_all_alike_is_not_measured() -> None:
    rng = np.random.default_rng(1)
    texts = ENGLISH + JAPANESE
    blind = np.vstack([vectors(rng, 80, alike=0.1), vectors(rng, 30, alike=0.6)])
    found = blind_languages(texts, blind)
    assert found == pytest.approx({"kana": 30 / 110})
    assert "27.3% of the texts (kana)" in remark(found)
    assert "Set TIDEGAUGE_DRIFT_MODEL to a multilingual model, such as sentence-" in remark(found)
    seeing = np.vstack([vectors(rng, 80, alike=0.1), vectors(rng, 30, alike=0.15)])
    assert blind_languages(texts, seeing) == {}
    assert remark({}) == ""


def test_copies_of_a_text_do_not_make_its_language_alike() -> None:
    rng = np.random.default_rng(2)
    different = vectors(rng, 80, alike=0.1)
    texts = ENGLISH + [ENGLISH[0]] * 300
    assert blind_languages(texts, np.vstack([different, different[[0] * 300]])) == {}


def test_a_rare_language_is_not_looked_at() -> None:
    rng = np.random.default_rng(3)
    texts = ENGLISH * 10 + JAPANESE
    few = np.vstack([vectors(rng, 800, alike=0.1), vectors(rng, 30, alike=0.9)])
    assert blind_languages(texts, few) == {}
