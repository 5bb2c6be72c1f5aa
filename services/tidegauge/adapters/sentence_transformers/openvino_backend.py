"""A model computed by OpenVINO, in single precision or in bfloat16."""

from __future__ import annotations

import numpy as np
import openvino

from tidegauge.adapters.sentence_transformers.embedder import Vectors
from tidegauge.adapters.sentence_transformers.errors import BackendError
from tidegauge.adapters.sentence_transformers.tokens import Arrays
from tidegauge.adapters.sentence_transformers.torch_backend import Compute

__all__ = ["compute"]


def compute(graph: bytes, *, threads: int, bf16: bool) -> Compute:
    """Compute an ONNX graph whose inputs are in the order of the arrays.

    Args:
        graph: The model.
        threads: Threads of one computation.
        bf16: Whether products are computed in bfloat16.

    Raises:
        BackendError: This processor does not compute in bfloat16.
    """
    core = openvino.Core()
    if bf16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise BackendError(
            "backend 'openvino-bf16' needs a processor that multiplies in bfloat16 (AVX512-BF16 "
            "or AMX), which this one does not: use 'openvino', or 'onnx-int8'"
        )
    compiled = core.compile_model(
        core.read_model(graph),
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Each of several workers would pin its thread to the same core.
            "ENABLE_CPU_PINNING": False,
        },
    )
    request = compiled.create_infer_request()

    def run(arrays: Arrays) -> Vectors:
        # The result lies in the request's memory, which the next one overwrites.
        return np.array(request.infer(list(arrays), share_inputs=True)[0], np.float32)

    return run
