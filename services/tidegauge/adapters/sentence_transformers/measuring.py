"""How fast each backend is on this machine, and how far its vectors are from torch's."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tidegauge.adapters.sentence_transformers.backends import BACKENDS, Backend
from tidegauge.adapters.sentence_transformers.embedder import Embedder
from tidegauge.adapters.sentence_transformers.errors import BackendError

__all__ = ["Trial", "fastest", "measure"]

_ROUNDS = 3
_LEAST_COSINE = 0.99


@dataclass(frozen=True, slots=True)
class Trial:
    """The measured speed and accuracy of a backend.

    Attributes:
        backend: Which.
        texts_per_second: By one core; 0 where it does not work here.
        cosine: Mean cosine of its vectors to torch's, text by text.
        reason: Why it does not work here, empty where it does.
    """

    backend: Backend
    texts_per_second: float = 0.0
    cosine: float = 0.0
    reason: str = ""


def measure(
    texts: Sequence[str],
    open_backend: Callable[[Backend], Embedder],
    seconds: Callable[[], float] = time.process_time,
) -> tuple[Trial, ...]:
    """Try every backend that is installed, in rounds, so that all meet the same machine.

    Args:
        texts: What to embed; a few dozen are enough.
        open_backend: Loads a model with a backend, on one thread.
        seconds: The clock; processor time, which other processes do not lengthen.

    Raises:
        EmbedderError: The model cannot be loaded.
    """
    opened: dict[Backend, Embedder] = {}
    failed: list[Trial] = []
    for backend, variant in BACKENDS.items():
        if variant.missing:
            continue
        try:
            opened[backend] = open_backend(backend)
        except BackendError as error:
            failed.append(Trial(backend, reason=str(error)))
    # The first round's vectors are compared; it also warms up.
    vectors = {backend: embedder.embed(texts) for backend, embedder in opened.items()}
    times: dict[Backend, list[float]] = {backend: [] for backend in opened}
    for _ in range(_ROUNDS):
        for backend, embedder in opened.items():
            before = seconds()
            embedder.embed(texts)
            times[backend].append(seconds() - before)
    exact = vectors["torch"]
    return (
        *(
            Trial(
                backend,
                texts_per_second=len(texts) / float(np.median(times[backend])),
                cosine=float((found * exact).sum(axis=1).mean()),
            )
            for backend, found in vectors.items()
        ),
        *failed,
    )


def fastest(trials: Sequence[Trial]) -> Trial | None:
    """Return the fastest backend whose vectors are near enough to torch's."""
    fit = [trial for trial in trials if not trial.reason and trial.cosine >= _LEAST_COSINE]
    return max(fit, key=lambda trial: trial.texts_per_second, default=None)
