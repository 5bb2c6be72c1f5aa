"""What the drift benchmark gives each system, and what a system is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

Rows: TypeAlias = np.ndarray
Follow: TypeAlias = Callable[[Rows], Iterator[float]]

REFERENCE = 1_000


class Given:
    """A baseline and the vectors of all texts.

    Attributes:
        vectors: Unit vectors, shape (n, d).
        rows: Rows of the baseline.
        window: Events of a window.
        rng: Draws of this baseline; the same again for the same baseline.
        width: Median distance of two texts of the baseline.
    """

    def __init__(self, vectors: np.ndarray, rows: Rows, window: int, seed: int) -> None:
        self.vectors, self.rows, self.window, self.seed = vectors, rows, window, seed
        self.rng = np.random.default_rng(seed)
        pairs = vectors[self.rng.choice(rows, (2, 2_000))]
        self.width = float(np.median(np.linalg.norm(pairs[0] - pairs[1], axis=1)))

    def reference(self) -> np.ndarray:
        """Draw the texts that a system which compares samples is given."""
        return self.vectors[self.rng.choice(self.rows, REFERENCE, replace=False)]

    def windows(self, stream: Rows) -> Iterator[np.ndarray]:
        """Yield the vectors of each whole window."""
        for start in range(0, len(stream) - self.window + 1, self.window):
            yield self.vectors[stream[start : start + self.window]]


@dataclass(frozen=True)
class System:
    """A peer.

    Attributes:
        name: Its name.
        package: The package it comes from, None where it is written here from a paper.
        begin: Sets it up for a baseline.
        note: Its settings.
        slow: Whether it can be run on a part of the streams only.
    """

    name: str
    package: str | None
    begin: Callable[[Given], Follow]
    note: str
    slow: bool = False
