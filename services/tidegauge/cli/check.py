"""One thing that ``tidegauge doctor`` has looked at."""

from __future__ import annotations

import msgspec

__all__ = ["Check"]


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        what: What it is.
        fine: Whether it is as it should be; None where it is not needed.
        found: What was found.
        remedy: What to do, empty when there is nothing to.
    """

    what: str
    fine: bool | None
    found: str
    remedy: str = ""
