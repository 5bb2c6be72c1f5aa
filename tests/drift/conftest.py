from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.fitting import HistoricalRequest, fit
from tidegauge.drift.preparation import Preparation

Vectors: TypeAlias = NDArray[np.float32]

_WORDS = (
    "card bank payment limit statement",
    "flight airport luggage ticket boarding",
    "oven bread flour yeast recipe",
    "guitar chord string tuning song",
    "garden soil tomato seed watering",
    "laptop screen battery charger keyboard",
    "tax refund deduction income form",
    "marathon training shoes pace injury",
)


@dataclass
class World:
    """Topics as directions on a sphere, each with words of its own."""

    rng: np.random.Generator
    centres: Vectors
    spread: float = 0.6

    def ask(self, count: int, topics: Sequence[int]) -> tuple[list[str], Vectors]:
        """Draw requests: texts and unit vectors."""
        chosen = self.rng.choice(np.array(topics), count)
        texts = []
        for topic in chosen:
            words = self.rng.permutation(_WORDS[topic].split())[:3]
            texts.append(f"how about {' '.join(words)} {self.rng.integers(10**6)}")
        noise = self.rng.normal(size=(count, self.centres.shape[1]))
        vectors = self.centres[chosen] + self.spread * noise / np.sqrt(noise.shape[1])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return texts, vectors.astype(np.float32)


@pytest.fixture
def world() -> World:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(len(_WORDS), 32))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    return World(rng, centres.astype(np.float32))


Build = Callable[..., DriftBaseline]


@pytest.fixture
def build() -> Build:
    def built(texts: Sequence[str], vectors: Vectors, **options: object) -> DriftBaseline:
        requests = options.pop("requests", None) or [HistoricalRequest(text) for text in texts]
        return fit(
            requests,  # type: ignore[arg-type]
            vectors,
            embedder="e1",
            preparation=Preparation(),
            rng=np.random.default_rng(1),
            **options,  # type: ignore[arg-type]
        )

    return built
