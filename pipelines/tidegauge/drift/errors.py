"""Errors of drift baselines.

TidegaugeError
└── DriftError
    ├── BaselineDocumentError
    ├── SpacingsError
    ├── TooFewTextsError
    └── VectorsError
"""

from __future__ import annotations

from tidegauge.schemas import TidegaugeError

__all__ = [
    "BaselineDocumentError",
    "DriftError",
    "SpacingsError",
    "TooFewTextsError",
    "VectorsError",
]


class DriftError(TidegaugeError):
    """A drift baseline cannot be built or used."""


class BaselineDocumentError(DriftError):
    """Bytes are not a drift baseline of this version."""


class SpacingsError(DriftError):
    """A division cannot be cut so that every cell holds a positive, finite number of spacings."""


class TooFewTextsError(DriftError):
    """There are too few texts for a baseline."""

    def __init__(self, *, found: int, needed: int) -> None:
        """Name the number of texts found and needed."""
        super().__init__(
            f"a drift baseline needs at least {needed} texts, half of them different, "
            f"got {found}: take a longer stretch of time or a larger file"
        )


class VectorsError(DriftError):
    """Vectors do not fit the baseline or the texts."""
