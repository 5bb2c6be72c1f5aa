"""A model computed by ONNX Runtime, in single precision or in 8-bit integers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnx
import onnxruntime

from tidegauge.adapters.sentence_transformers.embedder import Vectors
from tidegauge.adapters.sentence_transformers.tokens import Arrays
from tidegauge.adapters.sentence_transformers.torch_backend import Compute

__all__ = ["compute", "in_int8"]

_BLOCK = 64
"""Inputs that share a scale. With 128 it is 8% faster, but the texts beside a text move its
vector by a cosine of up to 0.004; with 64 by rounding alone."""
_INT8_PRODUCTS = 4
"""Accuracy level of ``MatMulNBits``: activations are rounded to 8 bits as well."""


def compute(graph: bytes, inputs: tuple[str, ...], *, threads: int) -> Compute:
    """Compute an ONNX graph.

    Args:
        graph: The model.
        inputs: Names of its inputs, in the order of the arrays.
        threads: Threads of one computation.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait by spinning take the cores of the other workers.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(arrays: Arrays) -> Vectors:
        (vectors,) = session.run(None, dict(zip(inputs, arrays, strict=True)))
        return np.asarray(vectors, np.float32)

    return run


def in_int8(graph: bytes) -> bytes:
    """Return the graph with its matrix products in 8-bit integers.

    Weights have a scale for each block of 64 inputs, and activations one for each block of
    each token. So a text's vector does not depend on the texts beside it, which the usual
    dynamic quantisation, with one scale for a whole batch, does not give: there the same text
    in two batches has a cosine down to 0.91.
    """
    with _root_logger_untouched():
        from onnxruntime.quantization.matmul_nbits_quantizer import (  # noqa: PLC0415 - see there
            MatMulNBitsQuantizer,
        )
    logging.getLogger(MatMulNBitsQuantizer.__module__).setLevel(logging.WARNING)
    quantizer = MatMulNBitsQuantizer(
        onnx.load_from_string(graph),
        bits=8,
        block_size=_BLOCK,
        is_symmetric=True,
        accuracy_level=_INT8_PRODUCTS,
    )
    quantizer.process()
    quantised: bytes = quantizer.model.model.SerializeToString()
    return quantised


@contextmanager
def _root_logger_untouched() -> Iterator[None]:
    """Import what calls ``logging.basicConfig``, which a handler makes do nothing."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
