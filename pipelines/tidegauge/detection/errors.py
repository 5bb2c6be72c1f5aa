"""Errors of the detection engine.

TidegaugeError
└── EngineError
    ├── CountsError
    ├── EvidenceMismatchError
    ├── PolyaUrnError
    └── TimeZoneError
"""

from __future__ import annotations

from tidegauge.schemas import TidegaugeError

__all__ = ["CountsError", "EngineError", "EvidenceMismatchError", "PolyaUrnError", "TimeZoneError"]


class EngineError(TidegaugeError):
    """The engine was given invalid input."""


class EvidenceMismatchError(EngineError):
    """Evidence belongs to another baseline than the active one."""

    def __init__(self, *, wanted: str, found: str) -> None:
        """Name both baselines and what to do."""
        super().__init__(
            f"the evidence belongs to baseline {found!r}, the active one is {wanted!r}: "
            "start from no evidence, or activate the other baseline"
        )


class CountsError(EngineError):
    """A reference cannot be built from the counts."""


class PolyaUrnError(EngineError):
    """A Polya urn has numbers that cannot be bet on."""


class TimeZoneError(EngineError):
    """There is no such time zone."""
