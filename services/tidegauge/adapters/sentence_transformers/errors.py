"""What can go wrong with an embedder.

TidegaugeError
└── EmbedderError       a model cannot be opened
    └── BackendError    this machine or this model cannot use the backend
"""

from __future__ import annotations

from tidegauge.schemas import TidegaugeError

__all__ = ["BackendError", "EmbedderError"]


class EmbedderError(TidegaugeError):
    """A model cannot be opened."""


class BackendError(EmbedderError):
    """This machine or this model cannot use the backend that was asked for."""
