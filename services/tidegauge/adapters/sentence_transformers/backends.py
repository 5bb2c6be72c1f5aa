"""The backends that may be chosen, and what each needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, TypeAlias

__all__ = ["BACKENDS", "Backend", "Variant"]

Backend: TypeAlias = Literal["torch", "onnx", "onnx-int8", "openvino", "openvino-bf16"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A library that computes a model, and the numbers in which it does.

    Attributes:
        arithmetic: What the matrix products are computed in; a part of the fingerprint.
        extra: The extra of this distribution that installs it.
        modules: What must be importable.
    """

    arithmetic: str
    extra: str
    modules: tuple[str, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The modules that are not installed."""
        return tuple(module for module in self.modules if find_spec(module) is None)

    @property
    def exact(self) -> bool:
        """Whether it computes in single precision, as the model was trained to be used."""
        return self.arithmetic == "fp32"


BACKENDS: Mapping[Backend, Variant] = {
    "torch": Variant("fp32", "drift", ("torch", "sentence_transformers")),
    "onnx": Variant("fp32", "onnx", ("onnxruntime", "onnx")),
    "onnx-int8": Variant("int8 in blocks of 64", "onnx", ("onnxruntime", "onnx", "onnx_ir")),
    "openvino": Variant("fp32", "openvino", ("openvino", "onnx")),
    "openvino-bf16": Variant("bf16", "openvino", ("openvino", "onnx")),
}
