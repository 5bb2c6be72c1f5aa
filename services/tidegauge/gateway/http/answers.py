"""Writes answers to a client's connection, and limits what the connection buffers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tidegauge.gateway.http.client import QUIET
from tidegauge.gateway.proxy.relay import Headers

if TYPE_CHECKING:
    from tidegauge.gateway.http.protocol import HttpProtocol

__all__ = ["FlowControl", "SocketSink"]

_HIGH_WATER: Final = 64 * 1024
_CLOSE: Final = b"connection: close\r\n"


class FlowControl:
    """Limits what a connection buffers in both directions.

    Data that arrive while a request is being answered are held back, and reading pauses when
    they exceed 64 KiB. Writing an answer waits while the client reads too slowly.

    Attributes:
        held: Data that are held back.
        writable: Done once the connection can be written to again; None while it can be.

    Args:
        transport: The connection's transport.
        loop: The event loop.
    """

    __slots__ = ("_loop", "_transport", "held", "writable")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self.held = b""
        self.writable: asyncio.Future[None] | None = None

    def hold(self, data: bytes) -> None:
        """Hold back received data."""
        self.held += data
        if len(self.held) > _HIGH_WATER:
            self._transport.pause_reading()

    def release(self) -> bytes:
        """Return the data that were held back and resume reading."""
        data, self.held = self.held, b""
        if data:
            self._transport.resume_reading()
        return data

    def pause_writing(self) -> None:
        """Make writers wait for the client."""
        self.writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let writers continue."""
        if self.writable is not None and not self.writable.done():
            self.writable.set_result(None)
        self.writable = None

    async def write(self, data: bytes) -> None:
        """Write to the client, and wait while its buffer is full."""
        self._transport.write(data)
        if self.writable is not None:
            await self.writable

    def once_writable(self, go_on: Callable[[], None]) -> None:
        """Call a function once the connection can be written to."""
        if self.writable is None:
            go_on()
        else:
            self.writable.add_done_callback(lambda _: go_on())


class SocketSink:
    """Writes an answer to the socket, its head together with the first part of the body.

    Attributes:
        ended: Whether the answer is complete.
        streaming: Whether a part of a stream has been written and its end has not.
    """

    __slots__ = ("_chunked", "_head", "_headers", "_keep_alive", "_protocol", "ended", "streaming")

    def __init__(self, protocol: HttpProtocol, *, keep_alive: bool, can_chunk: bool) -> None:
        self._protocol = protocol
        self._head = b""
        self._headers: Headers = []
        self._keep_alive = keep_alive
        self._chunked = can_chunk
        self.ended = self.streaming = False

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Write an answer in one piece."""
        head = self._protocol.head(status, headers)
        close = b"" if self._keep_alive else _CLOSE
        self._end(b"%b%bcontent-length: %d\r\n\r\n%b" % (head, close, len(body), body))

    async def begin(self, status: int, headers: Headers) -> None:
        """Store the head until the first part of the body."""
        self._headers = headers
        head = self._protocol.head(status, headers)
        close = b"" if self._keep_alive else _CLOSE
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        self._head = b"%b%b%b\r\n" % (head, close, framing)

    async def send(self, data: bytes) -> None:
        """Write a part of the body."""
        head, self._head = self._head, b""
        self.streaming = True
        await self._protocol.flow.write(head + self.framed(data))

    def framed(self, data: bytes) -> bytes:
        """Return a part of the body as it is written."""
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def comment(self) -> bytes | None:
        """Return a comment as a stream frames it; None unless one goes on that may have it."""
        if not self.streaming or any(name == b"content-encoding" for name, _ in self._headers):
            return None
        return self.framed(QUIET)

    async def end(self, data: bytes = b"") -> None:
        """Write the last part of the body; without chunks, the connection's end is its end."""
        head, self._head = self._head, b""
        last = self.framed(data) if data else b""
        self._end(b"%b%b%b" % (head, last, b"0\r\n\r\n" if self._chunked else b""))

    def _end(self, data: bytes) -> None:
        self.ended, self.streaming = True, False
        self._protocol.end(data, keep_alive=self._keep_alive)
