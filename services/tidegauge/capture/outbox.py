"""Appends to the outbox: whole frames into segments, within a quota; never raises."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress

from tidegauge.capture.counts import Drop
from tidegauge.capture.frame import encode_header
from tidegauge.capture.runs import Run, usage_bytes
from tidegauge.capture.settings import Fsync
from tidegauge.capture.write_buffer import TAIL_BYTES, WriteBuffer

__all__ = ["OutboxWriter"]

_RESCAN_SECONDS = 0.1


class OutboxWriter:
    """Writes one run's segments, their last bytes into its tail. Calls must not overlap.

    Args:
        run: Where to.
        quota_bytes: Most that all runs of the folder may hold.
        segment_bytes: Size at which a new file is begun.
        fsync: Whether to force each frame to the disk (``always``).
        monotonic: Clock for the interval between two looks at the folder's size.

    Raises:
        OSError: The tail cannot be made.
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
        self._most_held = 0 if self._always else TAIL_BYTES
        self._monotonic = monotonic
        self._tail = WriteBuffer(run.tail)
        self._descriptor: int | None = None
        self._segment = 0
        self._written = 0
        self._room = 0
        self._next_scan = monotonic()

    def append(self, sequence: int, frame: bytes) -> Drop | None:
        """Append one frame; None if it is there, else why it is not.

        Args:
            sequence: The event's sequence: names the segment, should it be the first in it.
            frame: The whole frame.
        """
        length, held = len(frame), len(self._tail)
        if length > self._room and not self._find_room(length):
            return Drop.QUOTA
        try:
            if self._descriptor is None or self._written + held + length > self._segment_bytes:
                self._begin_segment(sequence)
            elif held + length > self._most_held:
                self._spill()
            if length > self._most_held:
                self._write(frame)
                self._tail.begin(self._segment, self._written)
            else:
                self._tail.append(frame)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            return Drop.DISK_FULL if full else Drop.IO_ERROR
        self._room -= length
        return None

    def begin(self, sequence: int) -> None:
        """Begin the first segment, so that a folder that cannot be written is known at once.

        Raises:
            OSError: It cannot be made.
        """
        self._begin_segment(sequence)

    def _find_room(self, needed: int) -> bool:
        """Look how much the shipper has deleted; when full, not more often than it pays."""
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
        self._tail.begin(sequence, self._written)

    def _spill(self) -> None:
        """Write what the tail holds into the segment; if that fails, the tail goes on to hold it.

        A reader that sees a part of it in both sees the same bytes.
        """
        if len(self._tail):
            self._write(self._tail.held())
            self._tail.begin(self._segment, self._written)

    def _write(self, data: bytes) -> None:
        """Write all of it or leave nothing of it."""
        descriptor = self._descriptor
        if descriptor is None:
            raise OSError(errno.EBADF, "no segment is open")
        done = 0
        try:
            while done < len(data):  # a disk that fills up writes a part, and tells the next time
                done += os.pwrite(descriptor, data[done:] if done else data, self._written + done)
            if self._always:
                os.fdatasync(descriptor)
        except OSError:
            with suppress(OSError):  # else the next write goes over it
                os.ftruncate(descriptor, self._written)
            raise
        self._written += len(data)

    def _close_segment(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def close(self) -> None:
        """Write what the tail holds, or leave it there, and let go of the files."""
        with suppress(OSError):
            self._spill()
        self._close_segment()
        self._tail.close()
