"""vLLM for the demo and the tests: its environment, a small model, a server.

Example::

    environment = ensure_environment(print)
    with VllmServer(ensure_model(print), port=8000) as server:
        ...  # server.url answers as vLLM does
"""

from __future__ import annotations

from tidegauge.demo.vllm_environment import ensure_environment, require_platform
from tidegauge.demo.vllm_errors import (
    ModelConversionError,
    VllmInstallError,
    VllmPlatformError,
    VllmRuntimeError,
    VllmServerError,
)
from tidegauge.demo.vllm_model import ensure_model
from tidegauge.demo.vllm_server import SERVED_NAMES, VllmServer

__all__ = [
    "SERVED_NAMES",
    "ModelConversionError",
    "VllmInstallError",
    "VllmPlatformError",
    "VllmRuntimeError",
    "VllmServer",
    "VllmServerError",
    "ensure_environment",
    "ensure_model",
    "require_platform",
]
