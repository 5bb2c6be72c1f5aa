"""What can go wrong while the promise is measured.

TidegaugeError
└── PromiseError
    ├── StoredVectorsError
    └── TrafficFileError
"""

from __future__ import annotations

from tidegauge.schemas.errors import TidegaugeError

__all__ = ["PromiseError", "StoredVectorsError", "TrafficFileError"]


class PromiseError(TidegaugeError):
    """The promise cannot be measured as asked."""


class StoredVectorsError(PromiseError):
    """A text has no stored vector."""


class TrafficFileError(PromiseError):
    """A file of conversations, questions or arrivals cannot be used."""
