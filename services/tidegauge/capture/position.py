"""How far a run has been shipped, kept beside it and replaced in one step."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

__all__ = ["NOWHERE", "Place", "Position", "load_position", "save_position"]


class Place(msgspec.Struct, frozen=True, order=True):
    """A place in the outbox: a segment by its first sequence, and an offset in its file.

    Offset 0 is before the segment's header.
    """

    segment: int = 0
    offset: int = 0


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """What has been shipped of one run; everything before ``place`` is accounted for.

    Attributes:
        place: Where to go on.
        sequence: The last sequence before it.
        shipped: Events that the broker acknowledged, by topic.
        rejected: Events that it refuses for good, by topic.
        version: Of this form.
    """

    place: Place = Place()
    sequence: int = 0
    shipped: dict[str, int] = {}
    rejected: dict[str, int] = {}
    version: int = 1


NOWHERE = Position()


def load_position(path: Path) -> Position:
    """Read a position; from the beginning, if there is none or it was left half written.

    Beginning anew repeats events; their sequences make that harmless.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Position)
    except (FileNotFoundError, msgspec.DecodeError):
        return NOWHERE


def save_position(path: Path, position: Position) -> None:
    """Replace the position, and be sure that it is on the disk.

    Raises:
        OSError: It cannot be written; the old one stays.
    """
    draft = path.with_suffix(".new")
    with draft.open("wb") as file:
        file.write(msgspec.json.encode(position))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
