"""Traffic to measure the promise on, small enough for every change."""

from __future__ import annotations

import numpy as np
import pytest

from tidegauge.promise.drawn_conversations import Sources, fixed_texts
from tidegauge.promise.files import SingleQuestion
from tidegauge.promise.stored_vectors import StoredVectors
from tidegauge.simulation.conversations import Script
from tidegauge.simulation.rhythm import Recorded

TOPICS = 12
_DIMENSIONS = 24


@pytest.fixture(scope="session")
def recorded() -> Recorded:
    rng = np.random.default_rng(1)
    gaps = rng.exponential(size=2_000)
    tokens = rng.integers(50, 400, 2_000)
    return Recorded(gaps / gaps.mean(), tokens, tokens)


@pytest.fixture(scope="session")
def sources(recorded: Recorded) -> Sources:
    """Conversations of three turns and questions, each near the centre of its topic."""
    conversations = [
        Script(
            tuple((f"topic {n % TOPICS} turn {turn} number {n}", "done") for turn in range(3)),
            f"topic {n % TOPICS}",
        )
        for n in range(3_000)
    ]
    questions = [
        SingleQuestion(f"topic {n % TOPICS} question {n}", f"topic {n % TOPICS}")
        for n in range(3_000)
    ]
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(TOPICS, _DIMENSIONS))
    empty = StoredVectors.empty("drawn")
    texts = list(dict.fromkeys(fixed_texts(Sources(conversations, questions, recorded, empty))))
    topics = [int(text.split()[1]) if text.startswith("topic") else 0 for text in texts]
    vectors = centres[topics] + 0.7 * rng.normal(size=(len(texts), _DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Sources(
        conversations, questions, recorded, empty.extended(texts, vectors.astype(np.float32))
    )
