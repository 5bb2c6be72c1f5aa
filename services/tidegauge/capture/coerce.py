"""Values out of dictionaries that others have shaped: None or empty for what is not there.

Nothing here raises, whatever it is given.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

__all__ = [
    "as_json",
    "mapping",
    "number",
    "seconds",
    "sequence",
    "string",
    "whole",
    "whole_or_none",
]

_MOST = 2**63 - 1


def mapping(value: object) -> Mapping[str, Any]:
    """Return a dictionary, or the fields of a pydantic model; empty for anything else."""
    if isinstance(value, Mapping):
        return value
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) else {}


def sequence(value: object) -> Sequence[Any]:
    """Return a list or tuple; empty for anything else."""
    return value if isinstance(value, list | tuple) else ()


def string(value: object) -> str | None:
    """Return a text that is not empty."""
    return value if isinstance(value, str) and value else None


def number(value: object) -> float | None:
    """Return a number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def whole_or_none(value: object) -> int | None:
    """Return a whole number of 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) <= _MOST else None


def whole(value: object) -> int:
    """Return a whole number, 0 for anything else."""
    return whole_or_none(value) or 0


def seconds(value: object) -> float | None:
    """Return a moment as Unix seconds."""
    return value.timestamp() if isinstance(value, datetime) else number(value)


def as_json(value: object) -> str | None:
    """Return what is there as JSON text; None if there is nothing, or nothing that JSON can say."""
    if not value:
        return None
    try:
        return json.dumps(value, ensure_ascii=False, default=lambda part: dict(mapping(part)))
    except (TypeError, ValueError):
        return None
