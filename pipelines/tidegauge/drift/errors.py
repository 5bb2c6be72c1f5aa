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

    def __init__(
        self, *, texts: int, different: int, needed: int, needed_different: int, after: str = ""
    ) -> None:
        """Name the numbers of texts, and of different ones, found and needed.

        Args:
            texts: Texts found.
            different: How many of them are different.
            needed: Texts needed.
            needed_different: How many of them have to be different.
            after: How long it takes for the needed texts to come; empty where that is not known.
        """
        super().__init__(
            f"a drift baseline needs at least {needed} texts that open conversations, at least "
            f"{needed_different} of them different, got {texts}, {different} of them different: "
            "take a longer stretch of time or a larger file"
            + (f"; at the rate of these, as many come in {after}" if after else "")
        )


class VectorsError(DriftError):
    """Vectors do not fit the baseline or the texts."""
