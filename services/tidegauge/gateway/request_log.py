"""One JSON line for each request, without a word of the client's or the model's text.

Fields: ``event`` (always ``request``), ``time`` (arrival, RFC 3339), ``request_id``,
``route``, ``model``, ``version``, ``customer``, ``status``, ``error``, ``stream``,
``latency_ms``, ``time_to_first_token_ms``, ``prompt_characters``, ``response_characters``,
``input_tokens``, ``output_tokens``. Names come from the configuration and the key file;
a model that is not configured is ``unknown``.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from tidegauge.gateway.errors import ConfigurationError

__all__ = ["LogLine", "RequestLog"]

_FLUSH_SECONDS: Final = 0.2
_FLUSH_BYTES: Final = 64 * 1024
_encoder: Final = msgspec.json.Encoder()


class LogLine(msgspec.Struct, kw_only=True):
    """A request as the log tells it."""

    event: str = "request"
    time: str
    request_id: str
    route: str
    model: str
    version: str
    customer: str
    status: int
    error: str | None
    stream: bool
    latency_ms: float
    time_to_first_token_ms: float | None
    prompt_characters: int
    response_characters: int
    input_tokens: int | None
    output_tokens: int | None


class RequestLog:
    """Writes lines in batches, at the latest 0.2 s after they were logged.

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
        """Log a request; must be called in the event loop."""
        _encoder.encode_into(line, self._lines, -1)
        self._lines += b"\n"
        if len(self._lines) >= _FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what is waiting; a log that cannot be written never stops the service."""
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
        """Write what is waiting and let go of the file."""
        self.flush()
        if self._owned:
            self._file.close()


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def rfc3339(time_ms: int) -> str:
    """Return a Unix time in milliseconds as text.

    Example:
        >>> rfc3339(1_700_000_000_123)
        '2023-11-14T22:13:20.123Z'
    """
    seconds, rest = divmod(time_ms, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"
