"""The request log: a line for each exchange, written in batches."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from tidegauge.capture.exchange_record import LogLine
from tidegauge.gateway.errors import ConfigurationError

__all__ = ["RequestLog"]

_encoder: Final = msgspec.json.Encoder()
_FLUSH_BYTES: Final = 64 * 1024
_FLUSH_SECONDS: Final = 0.2


class RequestLog:
    """Writes the request log in batches, each line at most 0.2 s after it was logged.

    Args:
        path: The file to append to; None for the standard output.

    Raises:
        ConfigurationError: The file cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self._owned = path is not None
        try:
            self._file: BinaryIO = path.open("ab", buffering=0) if path else sys.stdout.buffer
        except OSError as error:
            raise ConfigurationError(f"cannot write the request log: {error}") from error
        self._lines = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def write(self, line: LogLine) -> None:
        """Add a line to the log; must be called in the event loop."""
        _encoder.encode_into(line, self._lines, -1)
        self._lines += b"\n"
        if len(self._lines) >= _FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write the buffered lines; errors are ignored so that they cannot stop the service."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, bytearray()
        try:
            self._file.write(lines)
            self._file.flush()
        except (OSError, ValueError):
            return

    def close(self) -> None:
        """Write the buffered lines and close the file."""
        self.flush()
        if self._owned:
            self._file.close()
