"""Counters that outlive the process that counts: a small file, mapped into memory.

The process that serves adds to them at the price of a memory access; the shipper, another
process, reads them at any time; after a kill they stand where the last addition left them.

The file is 16 KiB: 8 bytes of magic, 56 bytes unused, then entries of 64 bytes: 56 bytes of
name (UTF-8, filled up with zeros) and a number of 8 bytes in the machine's byte order. The
first empty name ends the list. An entry is never moved, renamed or removed.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tidegauge.capture.errors import OutboxFormatError

__all__ = ["CountersReader", "CountersWriter"]

_MAGIC = b"TGCOUNT1"
_SIZE = 16_384
_ENTRY = 64
_NAME = 56
_WORD = 8


class CountersWriter:
    """Counts by name in a new file.

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

        A name beyond the file's room is not counted; the closed sets of topics and reasons
        that name counters stay far below it.
        """
        slot = self._slots.get(name)
        if slot is None:
            slot = self._new_slot(name)
            if slot is None:
                return
        self._words[slot] += amount

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
        """Let go of the file."""
        self._words.release()
        self._map.close()


class CountersReader:
    """Reads the counters that another process adds to.

    Args:
        path: The file.

    Raises:
        OutboxFormatError: The file is no file of counters.
        FileNotFoundError: There is none.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            if file.read(_WORD) != _MAGIC or os.fstat(file.fileno()).st_size != _SIZE:
                raise OutboxFormatError(f"{path} holds no counters of this version")
            self._map = mmap.mmap(file.fileno(), _SIZE, prot=mmap.PROT_READ)
        self._words = memoryview(self._map).cast("Q")

    def read(self) -> dict[str, int]:
        """Return all counters as they stand."""
        return dict(self._entries())

    def _entries(self) -> Iterator[tuple[str, int]]:
        for start in range(_ENTRY, _SIZE, _ENTRY):
            name = self._map[start : start + _NAME].rstrip(b"\0")
            if not name:
                return
            yield name.decode(errors="replace"), self._words[(start + _NAME) // _WORD]

    def close(self) -> None:
        """Let go of the file."""
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
        """Let go of the file."""
        self.close()
