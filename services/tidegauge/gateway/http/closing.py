"""How connections end whose client has ended its side, or still sends after it was refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["HALF_CLOSE_SECONDS", "linger", "waits_for_answer"]

HALF_CLOSE_SECONDS: Final = 0.2
"""A client that ends its side this soon after its request waits for the answer.

A network or a busy event loop may come between the two, and nobody gives up so early. A client
that ends its side later has given up, unless a stream has begun. A client that has closed its
connection looks like one that has ended its side until something is written; in a stream, that
is a comment.
"""
_PROBE_SECONDS: Final = 0.2
"""Pause between two comments; the second one fails if the client has closed its connection."""
_LINGER_SECONDS: Final = 2.0
"""How long what a refused client still sends is discarded, so that it can read its answer."""


def waits_for_answer(
    transport: asyncio.Transport,
    idle_seconds: float,
    comment: Callable[[], bytes | None],
    *,
    streams: bool,
) -> bool:
    """Return whether a client that has ended its side after its request waits for the answer.

    Args:
        transport: The connection's transport; in a stream, comments are written to it.
        idle_seconds: Time since the client's last bytes.
        comment: Returns a comment as the stream frames it; None if none may be written (any more).
        streams: Whether a stream has begun and goes on.
    """
    if not streams:
        return idle_seconds < HALF_CLOSE_SECONDS
    _probe(transport, comment)
    return True


def _probe(transport: asyncio.Transport, comment: Callable[[], bytes | None]) -> None:
    data = comment()
    if data is not None and not transport.is_closing():
        transport.write(data)
        asyncio.get_running_loop().call_later(_PROBE_SECONDS, _probe, transport, comment)


def linger(transport: asyncio.Transport) -> None:
    """Close a connection after a refused client has had time to read its answer."""
    if transport.can_write_eof():
        transport.write_eof()
    asyncio.get_running_loop().call_later(_LINGER_SECONDS, transport.close)
