"""Appends to the outbox: whole frames into segments, within a quota; never raises."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable

from tidegauge.capture.counts import Drop
from tidegauge.capture.frame import encode_header
from tidegauge.capture.runs import Run, usage_bytes
from tidegauge.capture.settings import Fsync

__all__ = ["OutboxWriter"]

_RESCAN_SECONDS = 0.1


class OutboxWriter:
    """Writes one run's segments. Calls must not overlap.

    Args:
        run: Where to.
        quota_bytes: Most that all runs of the folder may hold.
        segment_bytes: Size at which a new file is begun.
        fsync: Whether to force each frame to the disk (``always``).
        monotonic: Clock for the interval between two looks at the folder's size.
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
        self._monotonic = monotonic
        self._descriptor: int | None = None
        self._size = 0
        self._room = 0
        self._next_scan = monotonic()

    def append(self, sequence: int, frame: bytes) -> Drop | None:
        """Append one frame; None if it is there, else why it is not.

        Args:
            sequence: The event's sequence: names the segment, should it be the first in it.
            frame: The whole frame.
        """
        length = len(frame)
        if length > self._room and not self._find_room(length):
            return Drop.QUOTA
        try:
            if self._descriptor is None or self._size + length > self._segment_bytes:
                self._begin_segment(sequence)
            self._write(frame)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            return Drop.DISK_FULL if full else Drop.IO_ERROR
        self._size += length
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
        self.close()
        path = self._run.segment(sequence)
        flags = os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._size = 0
        self._room = self._quota_bytes - usage_bytes(self._run.path.parent)
        try:
            self._write(self._header)
        except OSError:
            self.close()
            raise
        self._size = len(self._header)

    def _write(self, data: bytes) -> None:
        """Write all of it or leave nothing of it."""
        descriptor = self._descriptor
        if descriptor is None:
            raise OSError(errno.EBADF, "no segment is open")
        try:
            written = os.write(descriptor, data)
            while written < len(data):  # a disk that has filled up: the next call tells
                written += os.write(descriptor, data[written:])
            if self._always:
                os.fdatasync(descriptor)
        except OSError:
            self._take_back(descriptor)
            raise

    def _take_back(self, descriptor: int) -> None:
        """Cut off what a failed write left; if that fails too, leave the segment for a new one."""
        try:
            os.ftruncate(descriptor, self._size)
        except OSError:
            self.close()

    def close(self) -> None:
        """Close the segment; a later append begins a new one."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
