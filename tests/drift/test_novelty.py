from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tidegauge.drift.novelty import novelty


def test_a_topic_that_was_not_there_is_stranger(world: Any) -> None:  # noqa: ANN401 - a fixture
    _, points = world.ask(1_000, range(6))
    _, known = world.ask(300, range(6))
    _, new = world.ask(300, [6, 7])
    assert np.quantile(novelty(new, points), 0.05) > np.quantile(novelty(known, points), 0.95)


def test_a_text_is_not_measured_against_itself_or_its_copies() -> None:
    points = np.eye(6, dtype=np.float32)
    texts = np.arange(6)
    own = novelty(points, points, own=texts, point_texts=texts)
    np.testing.assert_allclose(own, 1)
    assert novelty(points, points)[0] == pytest.approx(2 / 3)


def test_the_batch_that_a_text_is_in_does_not_matter(world: Any) -> None:  # noqa: ANN401 - a fixture
    _, points = world.ask(400, range(8))
    _, vectors = world.ask(700, range(8))
    whole = novelty(vectors, points)
    single = np.concatenate([novelty(vector[None], points) for vector in vectors[:50]])
    np.testing.assert_allclose(whole[:50], single, atol=1e-6)


def test_nothing_has_no_novelty() -> None:
    assert novelty(np.zeros((0, 3), np.float32), np.eye(3, dtype=np.float32)).shape == (0,)
