from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.fitting import HistoricalRequest, fit
from tidegauge.drift.preparation import Preparation
from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import Message, RequestEvent

DIMENSION = 16


class WordVectors:
    """An embedder for tests: the sum of its words' random vectors, normalised."""

    fingerprint = "words"

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.embedded += texts
        rows = [np.sum([_vector(word) for word in text.split()], axis=0) for text in texts]
        vectors = np.array(rows, np.float32).reshape(len(texts), DIMENSION)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors[[text == "unembeddable" for text in texts]] = np.nan
        return vectors


def _vector(word: str) -> NDArray[np.float64]:
    seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
    return np.random.default_rng(seed).normal(size=DIMENSION)


def request_event(text: str, number: int = 1, **fields: Any) -> RequestEvent:  # noqa: ANN401 - any field
    given: dict[str, Any] = {
        "request_id": f"r{number}",
        "producer_id": "gateway-1",
        "sequence": number,
        "time_ms": 1_000_000 + number,
        "segment": Segment(model="m", version="v1", route="/chat"),
        "customer": "acme",
        "messages": (Message(role="user", content=text),) if text else (),
    }
    return RequestEvent(**(given | fields))


@pytest.fixture
def ask() -> Any:  # noqa: ANN401 - a function
    return request_event


@pytest.fixture
def embedder() -> WordVectors:
    return WordVectors()


def past_texts() -> list[str]:
    things = ["card", "account", "bank", "limit", "payment"]
    return [f"my {things[i % 5]} number {i}" for i in range(400)]


@pytest.fixture(scope="session")
def baseline() -> DriftBaseline:
    texts = past_texts()
    made = fit(
        [HistoricalRequest(text) for text in texts],
        WordVectors().embed(texts),
        embedder="words",
        preparation=Preparation(),
        rng=np.random.default_rng(1),
        caller_cap=5,
    )
    return DriftBaseline.from_bytes(made.to_bytes(), "drift-1")
