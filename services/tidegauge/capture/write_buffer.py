"""The outbox's tail: a segment's last bytes, in a file that is mapped into memory.

An append that is a copy into memory costs a tenth of one that is a write to a file, and what
lies in a mapped file outlives a killed process all the same. When the tail is full, it goes
into its segment with one large write and begins anew behind that; readers look for the end of
a segment here.

The file has 64 bytes of head and 64 KiB of bytes. All numbers are of 8 bytes in the machine's
byte order::

    8 bytes   "TGTAIL01"
    u64       segment: the first sequence in it
    u64       offset in that segment's file, at which the bytes here belong
    u64       how many there are
    …         unused, to 64 bytes

A reader sees what is being written: where the segment or the offset has moved while it read,
it has read nothing. Frames bear checksums and sequences besides.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final, NamedTuple

from tidegauge.capture.errors import OutboxFormatError

__all__ = ["TAIL_BYTES", "BufferedBytes", "WriteBuffer", "WriteBufferReader"]

TAIL_BYTES: Final = 1 << 16
"""Most bytes that a tail holds."""

_MAGIC: Final = b"TGTAIL01"
_HEAD: Final = 64
_SIZE: Final = _HEAD + TAIL_BYTES
_SEGMENT, _OFFSET, _LENGTH = 1, 2, 3


class WriteBuffer:
    """Holds the bytes that are not yet in a segment's file.

    Args:
        path: The file; it must not exist.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: Path) -> None:
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            # All of its room is taken now: a disk that is full later cannot fail an append.
            os.posix_fallocate(descriptor, 0, _SIZE)
            os.write(descriptor, _MAGIC)
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        draft.rename(path)
        self._head = memoryview(self._map)[:_HEAD].cast("Q")
        self._end = _HEAD

    def __len__(self) -> int:
        """Return the number of bytes that it holds."""
        return self._end - _HEAD

    def begin(self, segment: int, offset: int) -> None:
        """Hold nothing; what is appended next belongs there.

        Whoever is killed here has left an empty tail: then the segment's file has everything.
        """
        self._head[_LENGTH] = 0
        self._head[_SEGMENT], self._head[_OFFSET] = segment, offset
        self._end = _HEAD

    def append(self, data: bytes) -> None:
        """Hold further bytes, for which there is room."""
        end = self._end + len(data)
        self._map[self._end : end] = data
        self._head[_LENGTH] = end - _HEAD
        self._end = end

    def held(self) -> bytes:
        """Return what it holds."""
        return self._map[_HEAD : self._end]

    def close(self) -> None:
        """Let go of the file."""
        self._head.release()
        self._map.close()


class BufferedBytes(NamedTuple):
    """The end of a segment.

    Attributes:
        offset: Where in its file the bytes belong.
        data: The bytes.
    """

    offset: int
    data: bytes


class WriteBufferReader:
    """Reads the tail that another process holds, or has held.

    Args:
        path: The file.

    Raises:
        OutboxFormatError: The file is no tail of this version.
        FileNotFoundError: There is none.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC or os.fstat(file.fileno()).st_size != _SIZE:
                raise OutboxFormatError(
                    f"{path} is no tail of this version: "
                    "ship it with the tidegauge that wrote it, or a newer one"
                )
            self._map = mmap.mmap(file.fileno(), _SIZE, prot=mmap.PROT_READ)
        self._head = memoryview(self._map)[:_HEAD].cast("Q")

    def of(self, segment: int) -> BufferedBytes | None:
        """Return the end of a segment; None if the segment's file has it, or if it is moving."""
        before = self._head[_SEGMENT], self._head[_OFFSET]
        data = self._map[_HEAD : _HEAD + min(self._head[_LENGTH], TAIL_BYTES)]
        after = self._head[_SEGMENT], self._head[_OFFSET]
        if not data or before != after or before[0] != segment:
            return None
        return BufferedBytes(before[1], data)

    def close(self) -> None:
        """Let go of the file."""
        self._head.release()
        self._map.close()
