from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tidegauge.adapters.sentence_transformers import BACKENDS, Backend, BackendError, Embedder
from tidegauge.adapters.sentence_transformers.embedder import Vectors
from tidegauge.adapters.sentence_transformers.measuring import Trial, fastest, measure

SECONDS = {"torch": 2.0, "onnx": 1.0, "onnx-int8": 0.5, "openvino": 0.8}
ANGLES = {"torch": 0.0, "onnx": 0.0, "onnx-int8": 0.1, "openvino": 0.0}


@pytest.fixture
def everything_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tidegauge.adapters.sentence_transformers.backends.find_spec", lambda _name: object()
    )


class Machine:
    """Backends that take a known time and turn vectors by a known angle."""

    def __init__(self) -> None:
        self.clock = 0.0

    def open_backend(self, backend: Backend) -> Embedder:
        if backend not in SECONDS:
            raise BackendError("no bfloat16")

        def encode(texts: list[str]) -> Iterator[tuple[list[int], Vectors]]:
            self.clock += SECONDS[backend]
            angle = ANGLES[backend]
            row = [np.cos(angle), np.sin(angle)]
            yield list(range(len(texts))), np.array([row] * len(texts), np.float32)

        return Embedder(encode, fingerprint=backend, dimension=2, name="m")


@pytest.mark.usefixtures("everything_installed")
def test_each_backend_is_timed_and_compared_with_torch() -> None:
    machine = Machine()
    found = {
        trial.backend: trial
        for trial in measure(["a", "b", "c", "d"], machine.open_backend, lambda: machine.clock)
    }
    assert found.keys() == BACKENDS.keys()
    assert found["torch"].texts_per_second == pytest.approx(2)
    assert found["onnx-int8"].texts_per_second == pytest.approx(8)
    assert found["onnx-int8"].cosine == pytest.approx(np.cos(0.1))
    assert found["openvino-bf16"] == Trial("openvino-bf16", reason="no bfloat16")


def test_the_fastest_is_one_whose_vectors_are_near() -> None:
    far = Trial("onnx-int8", 900, 0.97)
    near = Trial("openvino", 500, 0.995)
    assert fastest([Trial("torch", 300, 1.0), far, near, Trial("onnx", reason="broken")]) == near
    assert fastest([]) is None
