"""One thing that ``tidegauge doctor`` has looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

__all__ = ["STATUSES", "Check", "Level", "worst"]

Level = Literal["ok", "absent", "warning", "bad"]
"""As it should be; not there and not needed; does harm; does not work."""

STATUSES: Final[Mapping[Level, int]] = MappingProxyType(
    {"ok": 0, "absent": 0, "warning": 1, "bad": 2}
)
"""Level -> exit status of the command."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        what: What it is.
        level: How it is.
        found: What was found.
        remedy: What to do, empty when there is nothing to.
    """

    what: str
    level: Level
    found: str
    remedy: str = ""


def worst(checks: Iterable[Check]) -> int:
    """Return the exit status for what was found: 0, 1 for warnings, 2 if something is bad."""
    return max((STATUSES[check.level] for check in checks), default=0)
