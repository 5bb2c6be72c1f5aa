"""Texts to unit vectors, by a sentence-transformers model on this machine.

The libraries take seconds to import, so that happens when a model is opened.
"""

from tidegauge.adapters.sentence_transformers.backends import BACKENDS, Backend, Variant
from tidegauge.adapters.sentence_transformers.embedder import Embedder
from tidegauge.adapters.sentence_transformers.errors import BackendError, EmbedderError
from tidegauge.adapters.sentence_transformers.opening import DEFAULT_MODEL, locate, open_embedder

__all__ = [
    "BACKENDS",
    "DEFAULT_MODEL",
    "Backend",
    "BackendError",
    "Embedder",
    "EmbedderError",
    "Variant",
    "locate",
    "open_embedder",
]
