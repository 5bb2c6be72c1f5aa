"""The drift benchmark's texts and their vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.drift.rewording import MANNERS, reword
from tidegauge.schemas.errors import TidegaugeError

__all__ = ["BenchError", "Texts", "Vectors", "read_texts", "with_vectors"]

Vectors: TypeAlias = NDArray[np.float32]

_REWORDED = 6_000


class BenchError(TidegaugeError):
    """The benchmark cannot be run on what it was given."""


@dataclass(frozen=True, slots=True)
class Texts:
    """A file's texts, and behind them some of them in other words.

    Attributes:
        texts: All of them, the file's n first.
        topics: The topics of the file's, n of them.
        originals: Row of the text that each of the last m says in other words, shape (m,).
    """

    texts: list[str]
    topics: list[str]
    originals: NDArray[np.int64]


class _Line(msgspec.Struct):
    text: str
    topic: str


def read_texts(path: Path, seed: int) -> Texts:
    """Read a JSONL file of ``{"text": …, "topic": …}`` and reword some of its texts.

    Raises:
        BenchError: It cannot be read, or a line is not as it must be.
    """
    try:
        lines = [line for line in path.read_bytes().splitlines() if line.strip()]
        read = [msgspec.json.decode(line, type=_Line) for line in lines]
    except OSError as error:
        raise BenchError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise BenchError(f'{path}: {error}; a line is {{"text": "…", "topic": "…"}}') from error
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(read), min(_REWORDED, len(read)), replace=False)
    texts = [one.text for one in read]
    manners = [MANNERS[i % len(MANNERS)] for i in range(len(chosen))]
    return Texts(
        texts=texts + [reword(texts[i], how, rng) for i, how in zip(chosen, manners, strict=True)],
        topics=[one.topic for one in read],
        originals=chosen,
    )


def with_vectors(
    texts: Texts, embed: Callable[[list[str]], Vectors], embedder: str, folder: Path
) -> Vectors:
    """Return the texts' vectors, from the folder if they were computed before.

    Args:
        texts: What to embed.
        embed: Computes unit vectors.
        embedder: What it computes them with.
        folder: Where they are kept.
    """
    own = len(texts.topics)
    parts = (texts.texts[:own], texts.texts[own:])
    return np.concatenate([_kept(part, embed, embedder, folder) for part in parts])


def _kept(
    texts: list[str], embed: Callable[[list[str]], Vectors], embedder: str, folder: Path
) -> Vectors:
    digest = hashlib.sha256("\0".join([embedder, *texts]).encode()).hexdigest()[:16]
    kept = folder / f"vectors-{digest}.npy"
    if kept.exists():
        return np.asarray(np.load(kept), np.float32)
    vectors = embed(texts)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(kept, vectors.astype(np.float16))
    return np.asarray(vectors.astype(np.float16), np.float32)
