"""Bounds on what a partition's sketches hold, so that no producer makes them grow."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Exemplar

__all__ = [
    "MOST_INDICATORS",
    "MOST_LABELS",
    "MOST_NAMES",
    "NAME_CHARACTERS",
    "OTHER_LABEL",
    "bounded_exemplar",
    "bounded_segment",
    "cut",
]

NAME_CHARACTERS = 128
"""Longest name of an indicator, a number, a customer or a part of a segment."""

MOST_INDICATORS = 256
"""Most indicators of one event; an event with more has none."""

MOST_NAMES = 1_024
"""Most indicators, numbers and totals of a window, of each."""

MOST_LABELS = 2_048
"""Labels, such as customers, with a number of their own in one total of a window."""

OTHER_LABEL = "other"
"""Label of the amounts of all further labels."""

_DIGITS = 8


def cut(name: str) -> str:
    """Return a name of at most ``NAME_CHARACTERS``; a hash replaces what is cut off.

    Example:
        >>> cut("acme"), len(cut("a" * 1_000)), cut("a" * 1_000) == cut("a" * 1_001)
        ('acme', 128, False)
    """
    if len(name) <= NAME_CHARACTERS:
        return name
    digest = sha256(name.encode(errors="replace")).hexdigest()[:_DIGITS]
    return f"{name[: NAME_CHARACTERS - _DIGITS - 1]}~{digest}"


def bounded_segment(segment: Segment) -> Segment:
    """Return a segment whose names are cut."""
    parts = (segment.model, segment.version, segment.route, segment.customer)
    if max(map(len, parts)) <= NAME_CHARACTERS:
        return segment
    model, version, route, customer = map(cut, parts)
    return Segment(model=model, version=version, route=route, customer=customer)


def bounded_exemplar(exemplar: Exemplar) -> Exemplar:
    """Return an exemplar whose names are cut, without texts."""
    return msgspec.structs.replace(
        exemplar,
        request_id=cut(exemplar.request_id),
        customer=cut(exemplar.customer),
        text="",
        context="",
        answer="",
        reason="",
    )
