"""How far a run has been shipped, kept beside it and replaced in one step."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import msgspec

from tidegauge.capture.counts import Drop

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
        dropped: Events that it refuses for good, or that could not be made of what was
            appended, by topic and reason.
        noted: Facts about what was shipped, counted by name (see ``folding``).
        rejected: In version 1, events that the broker refuses, by topic.
        version: Of this form.
    """

    place: Place = Place()
    sequence: int = 0
    shipped: dict[str, int] = {}
    dropped: dict[str, dict[str, int]] = {}
    noted: dict[str, int] = {}
    rejected: dict[str, int] = {}
    version: int = 2

    def handled(self) -> Counter[str]:
        """Return how many events are accounted for, by topic."""
        lost = {topic: sum(reasons.values()) for topic, reasons in self.dropped.items()}
        return Counter(self.shipped) + Counter(lost)


NOWHERE = Position()


def load_position(path: Path) -> Position:
    """Read a position; from the beginning, if there is none or it was left half written.

    Beginning anew repeats events; their sequences make that harmless.
    """
    try:
        position = msgspec.json.decode(path.read_bytes(), type=Position)
    except (FileNotFoundError, msgspec.DecodeError):
        return NOWHERE
    if not position.rejected:
        return position
    dropped = {topic: {Drop.REJECTED.value: n} for topic, n in position.rejected.items()}
    return msgspec.structs.replace(position, dropped=dropped, rejected={}, version=2)


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
