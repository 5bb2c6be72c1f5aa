"""Reads a run's outbox in order from a given place, also while it is being appended to."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from tidegauge.capture.errors import OutboxFormatError
from tidegauge.capture.frame import Damage, Frame, Incomplete, decode_frame, read_header
from tidegauge.capture.outbox import (
    BUFFER_BYTES,
    BUFFER_HEAD,
    BUFFER_MAGIC,
    LENGTH,
    OFFSET,
    SEGMENT,
)
from tidegauge.capture.runs import Place, Run

__all__ = ["BufferedBytes", "OutboxEntry", "OutboxReader", "WriteBufferReader"]

_CHUNK: Final = 1 << 18
_BUFFER_SIZE: Final = BUFFER_HEAD + BUFFER_BYTES


class OutboxEntry(msgspec.Struct, frozen=True):
    """A frame of the outbox and the place after it."""

    frame: Frame
    end: Place


class BufferedBytes(NamedTuple):
    """The last bytes of a segment, from the write buffer.

    Attributes:
        offset: Offset in the segment's file at which the bytes belong.
        data: The bytes.
    """

    offset: int
    data: bytes


class WriteBufferReader:
    """Reads the write buffer of another process, which may have ended.

    Args:
        path: The file.

    Raises:
        OutboxFormatError: The file is not a write buffer of this version.
        FileNotFoundError: The file does not exist.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            if (
                file.read(len(BUFFER_MAGIC)) != BUFFER_MAGIC
                or os.fstat(file.fileno()).st_size != _BUFFER_SIZE
            ):
                raise OutboxFormatError(
                    f"{path} is no write buffer of this version: "
                    "ship it with the tidegauge that wrote it, or a newer one"
                )
            self._map = mmap.mmap(file.fileno(), _BUFFER_SIZE, prot=mmap.PROT_READ)
        self._head = memoryview(self._map)[:BUFFER_HEAD].cast("Q")

    def of(self, segment: int) -> BufferedBytes | None:
        """Return a segment's buffered bytes; None if it has none or the buffer was changed."""
        before = self._head[SEGMENT], self._head[OFFSET]
        data = self._map[BUFFER_HEAD : BUFFER_HEAD + min(self._head[LENGTH], BUFFER_BYTES)]
        after = self._head[SEGMENT], self._head[OFFSET]
        if not data or before != after or before[0] != segment:
            return None
        return BufferedBytes(before[1], data)

    def close(self) -> None:
        """Close the file."""
        self._head.release()
        self._map.close()


class OutboxReader:
    """Reads a run's frames in order; unreadable bytes are skipped and counted.

    If a segment ends within a frame, or a frame is damaged, the rest of the segment is skipped,
    but only once the segment can no longer grow: a later one exists, or the run is over.

    Args:
        run: The run.
        place: The place to begin at.
        sequence: The last sequence before ``place``.
    """

    def __init__(self, run: Run, place: Place, sequence: int) -> None:
        self._run = run
        self._sequence = sequence
        self._segment = place.segment
        self._descriptor: int | None = None
        self._buffer: WriteBufferReader | None = None
        self._data = b""
        self._start = 0
        self._data_offset = place.offset
        self.given_up = 0
        """Number of skipped sequences, as far as later segments reveal them."""
        self.torn_bytes = 0
        """Number of skipped bytes."""

    def read(self, max_bytes: int, *, over: bool) -> list[OutboxEntry]:
        """Return the next entries in order; an empty list if there are none.

        Args:
            max_bytes: Approximate limit on the bytes to return.
            over: Whether the run was known to be over before this call. Then an empty list
                means that no more entries will come.

        Raises:
            OSError: The disk fails.
            OutboxFormatError: A segment is of a later version.
        """
        if over:  # the writer may have overwritten bytes that were read ahead while it lived
            self._forget()
        entries: list[OutboxEntry] = []
        left = max_bytes
        while left > 0 and (entry := self._next(over=over)) is not None:
            entries.append(entry)
            left -= len(entry.frame.value)
        return entries

    def _next(self, *, over: bool) -> OutboxEntry | None:
        while True:
            entry = self._parse()
            if entry is not None:
                return entry
            later = next((first for first in self._run.segments() if first > self._segment), None)
            if later is None:
                if over:
                    self._give_up()
                return None
            # The writer finished this segment before it created the later one, so the segment
            # has all its bytes by now.
            entry = self._parse()
            if entry is not None:
                return entry
            self._give_up()
            self._enter(later)

    def _enter(self, segment: int) -> None:
        self._leave()
        self._segment, self._data_offset = segment, 0
        self.given_up += max(0, segment - 1 - self._sequence)
        self._sequence = segment - 1

    def _forget(self) -> None:
        """Discard the bytes that were read ahead."""
        self._data_offset += self._start
        self._data, self._start = b"", 0

    def _give_up(self) -> None:
        """Skip the rest of the segment."""
        self._forget()
        while self._fill():
            self.torn_bytes += len(self._data)
            self._start = len(self._data)
            self._forget()

    def _parse(self) -> OutboxEntry | None:
        while True:
            try:
                return self._take()
            except Damage:
                self._forget()  # the file may have the whole frame at the next read
                return None
            except Incomplete:
                if not self._fill():
                    return None

    def _take(self) -> OutboxEntry:
        if self._start == len(self._data):
            raise Incomplete
        if self._data_offset + self._start == 0:
            _, self._start = read_header(self._data)
        frame, end = decode_frame(self._data, self._start)
        if frame.sequence != self._sequence + 1:
            raise Damage
        self._start, self._sequence = end, frame.last_sequence
        return OutboxEntry(frame, Place(self._segment, self._data_offset + self._start))

    def _fill(self) -> bool:
        """Read more bytes of the segment; return whether there were any."""
        if self._descriptor is None:
            try:
                self._descriptor = os.open(
                    self._run.segment(self._segment), os.O_RDONLY | os.O_CLOEXEC
                )
            except FileNotFoundError:
                return False
        end = self._data_offset + len(self._data)
        more = self._read(self._descriptor, end)
        if more:
            self._data_offset += self._start
            self._data, self._start = self._data[self._start :] + more, 0
        return bool(more)

    def _read(self, descriptor: int, start: int) -> bytes:
        """Read the segment from an offset; its last bytes may be in the write buffer."""
        if self._buffer is None:
            with suppress(FileNotFoundError):  # a run of an earlier version has none
                self._buffer = WriteBufferReader(self._run.buffer)
        held = None if self._buffer is None else self._buffer.of(self._segment)
        if held is None:
            return os.pread(descriptor, _CHUNK, start)
        if start < held.offset:
            return os.pread(descriptor, min(_CHUNK, held.offset - start), start)
        return held.data[start - held.offset :]

    def _leave(self) -> None:
        """Close the segment."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._data, self._start = b"", 0

    def close(self) -> None:
        """Close the files."""
        self._leave()
        if self._buffer is not None:
            self._buffer.close()
            self._buffer = None
