"""The model of the embedding benchmark, what it costs, and what the machine can do at most."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np

MOST_TOKENS: Final = 256
LIMIT_TOKENS: Final = 512


@dataclass(frozen=True, slots=True)
class Model:
    """The library's model, and what it costs.

    Attributes:
        loaded: A ``SentenceTransformer``.
        hidden: Numbers of a token's vector.
        inner: Numbers between a layer's two large products.
        layers: How many layers.
    """

    loaded: Any
    hidden: int
    inner: int
    layers: int

    def operations(self, texts: Sequence[str]) -> float:
        """Return the operations of the matrix products that the texts' real tokens need.

        In each layer: four products of hidden x hidden and two of hidden x inner for each
        token, and two of tokens x tokens x hidden for attention; two operations an element.
        """
        tokens = np.array([len(row) for row in self.tokens(texts)], float)
        linear = 2 * (4 * self.hidden**2 + 2 * self.hidden * self.inner)
        return float(self.layers * (tokens * linear + 4 * tokens**2 * self.hidden).sum())

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each text's token ids."""
        found: list[list[int]] = self.loaded.tokenizer(
            list(texts), truncation=True, max_length=MOST_TOKENS
        )["input_ids"]
        return found

    def encode(self, texts: Sequence[str]) -> Any:  # noqa: ANN401 - an array, of no type
        """Embed by the library, with its own batches."""
        return self.loaded.encode(list(texts), show_progress_bar=False)


class Limit:
    """The machine's limit for matrix products of a model's shapes, by its best library.

    Args:
        model: Whose shapes.
        seconds: How long a measurement takes.
    """

    def __init__(self, model: Model, seconds: float) -> None:
        self._seconds = seconds
        rng = np.random.default_rng(0)

        def draw(rows: int, columns: int) -> np.ndarray:
            return rng.standard_normal((rows, columns)).astype(np.float32)

        hidden, inner = model.hidden, model.inner
        narrow, wide = draw(LIMIT_TOKENS, hidden), draw(LIMIT_TOKENS, inner)
        shapes = [(narrow, draw(hidden, hidden))] * 4
        shapes += [(narrow, draw(hidden, inner)), (wide, draw(inner, hidden))]
        self.operations = sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b in shapes)
        import torch  # noqa: PLC0415 - seconds of import, after the arguments are read

        pairs = [(torch.from_numpy(a), torch.from_numpy(b)) for a, b in shapes]
        self._libraries: dict[str, Callable[[], object]] = {
            f"numpy {np.__version__}": lambda: [a @ b for a, b in shapes],
            f"torch {version('torch')}": lambda: [torch.mm(a, b) for a, b in pairs],
        }
        rates = {name: self._rate(name) for name in self._libraries}
        self.system = max(rates, key=lambda name: rates[name])

    def measure(self) -> float:
        """Return operations per second."""
        return self._rate(self.system)

    def _rate(self, name: str) -> float:
        multiply = self._libraries[name]
        multiply()
        began, done = time.process_time(), 0
        while (spent := time.process_time() - began) < self._seconds:
            multiply()
            done += 1
        return float(done * self.operations / spent)
