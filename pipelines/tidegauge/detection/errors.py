"""What can go wrong in the engine.

TidegaugeError
└── EngineError
    ├── CountsError
    ├── EvidenceMismatchError
    └── PolyaUrnError
"""

from __future__ import annotations

from tidegauge.schemas import TidegaugeError

__all__ = ["CountsError", "EngineError", "EvidenceMismatchError", "PolyaUrnError"]


class EngineError(TidegaugeError):
    """The engine was given what it cannot work with."""


class EvidenceMismatchError(EngineError):
    """Evidence was gathered against another baseline than the active one."""

    def __init__(self, *, wanted: str, found: str) -> None:
        """Name both baselines and the way out."""
        super().__init__(
            f"the evidence belongs to baseline {found!r}, the active one is {wanted!r}: "
            "start from no evidence, or activate the other baseline"
        )


class CountsError(EngineError):
    """Counts do not make a reference."""


class PolyaUrnError(EngineError):
    """An urn's numbers allow no bets."""
