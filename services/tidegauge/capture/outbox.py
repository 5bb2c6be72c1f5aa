"""Appends whole frames to the outbox, within a quota.

The last bytes of a segment are in a write buffer, a memory-mapped file. Copying a frame into
memory costs a tenth of writing it to a file, and the bytes in a mapped file survive a killed
process as well. When the buffer is full, it is written to its segment with one large write and
starts again, empty, at the segment's new end. Readers read the end of a segment from the buffer.

The buffer's file has 64 bytes of head and 64 KiB of data. All numbers are of 8 bytes in the
machine's byte order::

    8 bytes   "TGTAIL01"
    u64       segment: the first sequence in it
    u64       offset in that segment's file at which the data belong
    u64       length of the data in bytes
    …         unused, to 64 bytes

A reader may read while the writer writes. If the segment or the offset has changed during the
read, the reader discards what it read. Frames also have checksums and sequences.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tidegauge.capture.counters import Drop
from tidegauge.capture.frame import encode_header
from tidegauge.capture.runs import Run, usage_bytes
from tidegauge.capture.settings import Fsync

__all__ = [
    "BUFFER_BYTES",
    "BUFFER_HEAD",
    "BUFFER_MAGIC",
    "LENGTH",
    "OFFSET",
    "SEGMENT",
    "OutboxWriter",
    "WriteBuffer",
]

BUFFER_BYTES: Final = 1 << 16
"""Most bytes that a write buffer holds."""

BUFFER_MAGIC: Final = b"TGTAIL01"
BUFFER_HEAD: Final = 64
SEGMENT, OFFSET, LENGTH = 1, 2, 3
"""Positions of the numbers in the head, in words of 8 bytes."""

_RESCAN_SECONDS: Final = 0.1


class OutboxWriter:
    """Writes one run's segments through its write buffer. Calls must not overlap.

    Args:
        run: The run to write.
        quota_bytes: Most bytes that all runs of the folder may hold.
        segment_bytes: Size at which a new segment is begun.
        fsync: When to force frames to the disk; ``always`` forces each one.
        monotonic: Clock for the interval between two scans of the folder's size.

    Raises:
        OSError: The write buffer cannot be created.
    """

    def __init__(
        self,
        run: Run,
        *,
        quota_bytes: int,
        segment_bytes: int,
        fsync: Fsync,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._header = encode_header(run.producer_id)
        self._quota_bytes = quota_bytes
        self._segment_bytes = segment_bytes
        self._always = fsync == "always"
        self._most_held = 0 if self._always else BUFFER_BYTES
        self._monotonic = monotonic
        self._buffer = WriteBuffer(run.buffer)
        self._descriptor: int | None = None
        self._segment = 0
        self._written = 0
        self._room = 0
        self._next_scan = monotonic()

    def append(self, sequence: int, frame: bytes) -> Drop | None:
        """Append one frame; return None, or the drop reason if it was not appended.

        Args:
            sequence: Sequence of the frame's first event; it names a segment that begins here.
            frame: The whole frame.
        """
        length, held = len(frame), len(self._buffer)
        if length > self._room and not self._find_room(length):
            return Drop.QUOTA
        try:
            if self._descriptor is None or self._written + held + length > self._segment_bytes:
                self._begin_segment(sequence)
            elif held + length > self._most_held:
                self._spill()
            if length > self._most_held:
                self._write(frame)
                self._buffer.begin(self._segment, self._written)
            else:
                self._buffer.append(frame)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            return Drop.DISK_FULL if full else Drop.IO_ERROR
        self._room -= length
        return None

    def begin(self, sequence: int) -> None:
        """Begin the first segment, so that a folder that is not writable is noticed at once.

        Raises:
            OSError: The segment cannot be created.
        """
        self._begin_segment(sequence)

    def _find_room(self, needed: int) -> bool:
        """Measure the free space again, at most every 0.1 s; return whether the frame fits."""
        now = self._monotonic()
        if now < self._next_scan:
            return False
        self._next_scan = now + _RESCAN_SECONDS
        try:
            self._room = self._quota_bytes - usage_bytes(self._run.path.parent)
        except OSError:
            return False
        return needed <= self._room

    def _begin_segment(self, sequence: int) -> None:
        self._spill()
        self._close_segment()
        flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC
        self._descriptor = os.open(self._run.segment(sequence), flags, 0o600)
        self._segment, self._written = sequence, 0
        self._room = self._quota_bytes - usage_bytes(self._run.path.parent)
        try:
            self._write(self._header)
        except OSError:
            self._close_segment()
            raise
        self._buffer.begin(sequence, self._written)

    def _spill(self) -> None:
        """Write the buffer to the segment; if that fails, the buffer keeps its bytes.

        While the bytes are in both, a reader sees the same bytes in either.
        """
        if len(self._buffer):
            self._write(self._buffer.held())
            self._buffer.begin(self._segment, self._written)

    def _write(self, data: bytes) -> None:
        """Write all of the data, or restore the file's length."""
        descriptor = self._descriptor
        if descriptor is None:
            raise OSError(errno.EBADF, "no segment is open")
        done = 0
        try:
            while done < len(data):  # a nearly full disk writes a part, then fails the next write
                done += os.pwrite(descriptor, data[done:] if done else data, self._written + done)
            if self._always:
                os.fdatasync(descriptor)
        except OSError:
            with suppress(OSError):  # if this fails too, the next write overwrites the part
                os.ftruncate(descriptor, self._written)
            raise
        self._written += len(data)

    def _close_segment(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def close(self) -> None:
        """Write the buffer to the segment if possible, and close the files."""
        with suppress(OSError):
            self._spill()
        self._close_segment()
        self._buffer.close()


class WriteBuffer:
    """Holds the bytes that are not yet in a segment's file.

    Args:
        path: The file; it must not exist.

    Raises:
        OSError: The file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            # Its blocks are allocated now, so that a disk that fills up cannot fail an append.
            os.posix_fallocate(descriptor, 0, BUFFER_HEAD + BUFFER_BYTES)
            os.write(descriptor, BUFFER_MAGIC)
            self._map = mmap.mmap(descriptor, BUFFER_HEAD + BUFFER_BYTES)
        finally:
            os.close(descriptor)
        draft.rename(path)
        self._head = memoryview(self._map)[:BUFFER_HEAD].cast("Q")
        self._end = BUFFER_HEAD

    def __len__(self) -> int:
        """Return the number of bytes in the buffer."""
        return self._end - BUFFER_HEAD

    def begin(self, segment: int, offset: int) -> None:
        """Empty the buffer; the next bytes belong at this segment and offset.

        A process that is killed here leaves an empty buffer: the segment's file has every byte.
        """
        self._head[LENGTH] = 0
        self._head[SEGMENT], self._head[OFFSET] = segment, offset
        self._end = BUFFER_HEAD

    def append(self, data: bytes) -> None:
        """Append bytes; they must fit."""
        end = self._end + len(data)
        self._map[self._end : end] = data
        self._head[LENGTH] = end - BUFFER_HEAD
        self._end = end

    def held(self) -> bytes:
        """Return the bytes in the buffer."""
        return self._map[BUFFER_HEAD : self._end]

    def close(self) -> None:
        """Close the file."""
        self._head.release()
        self._map.close()
