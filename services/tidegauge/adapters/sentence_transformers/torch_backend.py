"""A model computed by PyTorch, and made into a graph that other libraries read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import torch

from tidegauge.adapters.sentence_transformers.embedder import Vectors
from tidegauge.adapters.sentence_transformers.tokens import Arrays

__all__ = ["Chain", "Compute", "compute", "exported"]

Compute: TypeAlias = Callable[[Arrays], Vectors]
"""From a model's inputs to vectors, shape (texts, d), not normalised."""


class Chain(torch.nn.Module):
    """All modules of a model, from token ids to the vector of a text.

    Args:
        loaded: A ``SentenceTransformer``.
        inputs: Names of its inputs, in the order in which they will come.
        prompt_tokens: Tokens of a prompt before each text, which pooling may leave out.
    """

    def __init__(self, loaded: Any, inputs: tuple[str, ...], prompt_tokens: int) -> None:  # noqa: ANN401 - no types
        super().__init__()
        self.loaded = loaded.eval()
        self.inputs = inputs
        self.prompt_tokens = prompt_tokens

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """Return vectors, shape (texts, d)."""
        features: dict[str, Any] = dict(zip(self.inputs, tensors, strict=True))
        if self.prompt_tokens:
            features["prompt_length"] = self.prompt_tokens
        vectors: torch.Tensor = self.loaded(features)["sentence_embedding"]
        return vectors


def compute(chain: Chain) -> Compute:
    """Compute by PyTorch itself."""

    def run(arrays: Arrays) -> Vectors:
        with torch.inference_mode():
            vectors = chain(*map(torch.from_numpy, arrays))
        return np.asarray(vectors.float().numpy(), np.float32)

    return run


def exported(chain: Chain, example: Arrays) -> bytes:
    """Return the model as an ONNX graph of any number of texts and tokens.

    Traced, since the graph that ``torch.export`` makes computes some 8% slower and takes
    six times as long to make.

    Args:
        chain: The model.
        example: Inputs of at least two texts and two tokens.
    """
    axes = {name: {0: "texts", 1: "tokens"} for name in chain.inputs}
    with TemporaryDirectory() as folder, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the tracer, about conditions that do not vary
        graph = Path(folder, "model.onnx")
        torch.onnx.export(
            chain,
            tuple(map(torch.from_numpy, example)),
            graph,
            input_names=list(chain.inputs),
            output_names=["vectors"],
            dynamic_axes={**axes, "vectors": {0: "texts"}},
            dynamo=False,
        )
        return graph.read_bytes()
