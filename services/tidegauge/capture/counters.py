"""A run's counters in a small memory-mapped file, and the reasons why events are dropped.

The serving process increments a counter at the cost of a memory access. The shipper, another
process, can read the counters at any time. A killed process loses no increment.

The file is 16 KiB: 8 bytes of magic, 56 bytes unused, then entries of 64 bytes: 56 bytes of
name (UTF-8, padded with zeros) and a number of 8 bytes in the machine's byte order. The
first empty name ends the list. An entry is never moved, renamed or removed.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tidegauge.capture.errors import OutboxFormatError

__all__ = [
    "REFUSED",
    "SERVED",
    "CountersReader",
    "CountersWriter",
    "Counts",
    "Drop",
    "captured_counter",
    "counts_of",
    "dropped_counter",
]

_MAGIC = b"TGCOUNT1"
_SIZE = 16_384
_ENTRY = 64
_NAME = 56
_WORD = 8
SERVED: Final = "served"
REFUSED: Final = "refused"
_CAPTURED = "captured"
_DROPPED = "dropped"


class Drop(StrEnum):
    """Why an event was not captured, or was lost afterwards.

    Attributes:
        QUOTA: The outbox has reached its quota: the broker has been unreachable for too long.
        DISK_FULL: The disk is full.
        IO_ERROR: The disk failed.
        TOO_LARGE: The event is larger than ``max_event_bytes``.
        INVALID_EVENT: The event could not be built or encoded.
        CLOSED: The recorder has been closed, or was never started.
        DAMAGED: The event was in the outbox and could not be read back.
        REJECTED: The broker rejected the event permanently.
    """

    QUOTA = "quota"
    DISK_FULL = "disk_full"
    IO_ERROR = "io_error"
    TOO_LARGE = "too_large"
    INVALID_EVENT = "invalid_event"
    CLOSED = "closed"
    DAMAGED = "damaged"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of a run.

    Attributes:
        served: Requests answered.
        captured: Events appended, by topic.
        dropped: Events that could not be appended, by topic and reason.
        refused: Requests refused before they became exchanges.
    """

    served: int = 0
    captured: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)
    refused: int = 0


def captured_counter(topic: str) -> str:
    """Return the name of the counter of a topic's appended events."""
    return f"{_CAPTURED}/{topic}"


def dropped_counter(topic: str, reason: str) -> str:
    """Return the name of the counter of a topic's dropped events."""
    return f"{_DROPPED}/{topic}/{reason}"


def counts_of(counters: Mapping[str, int]) -> Counts:
    """Return counters as ``Counts``; names from a later version are ignored.

    Example:
        >>> counts_of({"served": 2, "captured/a.v1": 1, "dropped/a.v1/quota": 1})
        Counts(served=2, captured={'a.v1': 1}, dropped={'a.v1': {'quota': 1}}, refused=0)
    """
    captured: dict[str, int] = {}
    dropped: dict[str, dict[str, int]] = {}
    for name, value in counters.items():
        match name.split("/"):
            case [kind, topic] if kind == _CAPTURED:
                captured[topic] = value
            case [kind, topic, reason] if kind == _DROPPED:
                dropped.setdefault(topic, {})[reason] = value
    return Counts(counters.get(SERVED, 0), captured, dropped, counters.get(REFUSED, 0))


class CountersWriter:
    """Counters by name, in a new file.

    Args:
        path: The file; it must not exist.
    """

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, _MAGIC.ljust(_SIZE, b"\0"))
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        self._words = memoryview(self._map).cast("Q")
        self._slots: dict[str, int] = {}

    def add(self, name: str, amount: int = 1) -> None:
        """Add to a counter, which begins at 0.

        A new name is not counted once the file is full; there are far fewer topics and reasons
        than entries.
        """
        slot = self._slots.get(name)
        if slot is None:
            slot = self._new_slot(name)
            if slot is None:
                return
        self._words[slot] += amount

    def add_exchanges(self, captured: Sequence[str], appended: int, served: int) -> None:
        """Count exchanges whose compact records were appended.

        Args:
            captured: Names of the counters of their events.
            appended: How many records were appended.
            served: How many exchanges were answered.
        """
        if appended:
            for name in captured:
                self.add(name, appended)
        if served:
            self.add(SERVED, served)

    def _new_slot(self, name: str) -> int | None:
        start = _ENTRY * (len(self._slots) + 1)
        encoded = name.encode()
        if start >= _SIZE or len(encoded) > _NAME:
            return None
        self._map[start : start + len(encoded)] = encoded
        slot = (start + _NAME) // _WORD
        self._slots[name] = slot
        return slot

    def read(self) -> dict[str, int]:
        """Return all counters."""
        return {name: self._words[slot] for name, slot in self._slots.items()}

    def close(self) -> None:
        """Close the file."""
        self._words.release()
        self._map.close()


class CountersReader:
    """Reads the counters that another process adds to.

    Args:
        path: The file.

    Raises:
        OutboxFormatError: The file is not a file of counters.
        FileNotFoundError: The file does not exist.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            if file.read(_WORD) != _MAGIC or os.fstat(file.fileno()).st_size != _SIZE:
                raise OutboxFormatError(f"{path} holds no counters of this version")
            self._map = mmap.mmap(file.fileno(), _SIZE, prot=mmap.PROT_READ)
        self._words = memoryview(self._map).cast("Q")

    def read(self) -> dict[str, int]:
        """Return the current value of every counter."""
        return dict(self._entries())

    def _entries(self) -> Iterator[tuple[str, int]]:
        for start in range(_ENTRY, _SIZE, _ENTRY):
            name = self._map[start : start + _NAME].rstrip(b"\0")
            if not name:
                return
            yield name.decode(errors="replace"), self._words[(start + _NAME) // _WORD]

    def close(self) -> None:
        """Close the file."""
        self._words.release()
        self._map.close()

    def __enter__(self) -> Self:
        """Return the reader."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self.close()
