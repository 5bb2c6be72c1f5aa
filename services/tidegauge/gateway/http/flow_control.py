"""Limits what a client's connection buffers in both directions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["FlowControl"]

_HIGH_WATER: Final = 64 * 1024


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

    def once_writable(self, go_on: Callable[[], None]) -> None:
        """Call a function once the connection can be written to."""
        if self.writable is None:
            go_on()
        else:
            self.writable.add_done_callback(lambda _: go_on())
