"""A minimal HTTP/1.1 client for upstreams, with keep-alive, streaming and deadlines.

General clients spend most of their time on features that a gateway does not need (cookies,
redirects, decompression, middleware). Here a request is one write, a response is parsed by
callbacks, and one timer per pool enforces all deadlines.

A connection carries one response at a time. Whatever follows a complete response ends the
connection, so that it can never be read as the response to another client's request.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import httptools

from tidegauge.gateway.errors import (
    UpstreamAnswerError,
    UpstreamInterruptedError,
)
from tidegauge.gateway.http.addresses import Timeouts

if TYPE_CHECKING:
    from tidegauge.gateway.http.pool import Pool

__all__ = ["QUIET", "Connection", "Quiet"]

QUIET: Final = b": keep-alive\n\n"
"""A server-sent event without content, which stands for a pause in a stream."""

_HIGH_WATER: Final = 256 * 1024
_LONGEST_SILENCE: Final = 64 * 1024
"""Most bytes of heads, trailers or framing that may arrive without any of the body."""
_STATUSES: Final = range(100, 600)
_FRAMING: Final = (b"content-length", b"transfer-encoding")
_FOREVER: Final = float("inf")


class Quiet(NamedTuple):
    """What to do while an upstream is silent before its answer's head.

    Attributes:
        seconds: Pause after which ``tell`` is called, and after each further one.
        tell: Tells the client that the gateway is still there.
    """

    seconds: float
    tell: Callable[[], Awaitable[None]]


class _SurplusError(Exception):
    """Data follow a complete response."""


class _BadStatusError(Exception):
    """The status is none of HTTP's."""


class Connection(asyncio.Protocol):
    """One connection and the response that is being read from it.

    Attributes:
        status: The response's status.
        headers: The response's headers, names in lower case; trailers are ignored.
        is_stream: Whether the response is a stream of events.
        is_encoded: Whether the response has a content encoding.
        complete: Whether all of the response has arrived.
        deadline: Time by which the next bytes must arrive, on the event loop's clock.
        in_use: Whether a response is being read.
        closed: Whether the connection is closed.
        begun: Whether the head of the final response has arrived.
        touched: Whether any byte has arrived since the request.
        received: Bytes of the body that have arrived.
        repeats: How often the request had been sent on another connection before.
        quiet_seconds: Pause after which ``piece`` returns ``QUIET``; None for never.

    Read ``status`` and ``headers`` after ``Pool.request``, then call ``piece`` until it
    returns no bytes, or call ``read``. ``close`` returns the connection to the pool if the
    response is complete, and aborts it otherwise.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._loop = pool.loop
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._paused = False
        self._error: Exception | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.timeouts = pool.timeouts
        self.deadline = _FOREVER
        self.closed = False
        self.in_use = False
        self._begin()

    def _begin(self) -> None:
        self.status = self.received = self.repeats = self._silence = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_stream = self.is_encoded = self.begun = self.touched = self.complete = False
        self._framed = self._reusable = self._draining = self._is_quiet = False
        self.quiet_seconds: float | None = None
        self._heard = 0.0

    # Called by the event loop.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse the received data."""
        if not self.in_use:
            self.fail(UpstreamAnswerError("the upstream spoke without being asked"))
            return
        self.touched = True
        surplus = self.complete
        if surplus:
            self._reusable = False
            return
        self._silence += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.complete:  # and what follows is surplus
                self._reusable = False
            else:
                self.fail(_describe(error))
        if self._silence > _LONGEST_SILENCE and not self.complete:
            self.fail(UpstreamAnswerError("the head or trailers of the upstream have no end"))
        elif self._draining and self.complete:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the response, as complete or as interrupted, and leave the pool."""
        self.closed = True
        self._pool.forget(self)
        if self.begun and not self._framed and exc is None and not self.complete:
            self.complete = True  # a body without a length ends with the connection
        if not self.complete and self._error is None:
            self._error = UpstreamInterruptedError("the upstream closed the connection")
        self._wake()

    # Called by the parser.
    def on_message_begin(self) -> None:
        """Stop at data after the final response."""
        if self.complete:
            raise _SurplusError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store one header, its name in lower case; trailers are ignored."""
        if self.begun:
            return
        name = name.lower()
        if name in _FRAMING:
            self._framed = True
        elif name == b"content-type":
            self.is_stream = value.lower().startswith(b"text/event-stream")
        elif name == b"content-encoding":
            self.is_encoded = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Mark the head as received, or forget it if it is that of an interim response."""
        status = self._parser.get_status_code()
        if status not in _STATUSES:
            raise _BadStatusError(status)
        if status >= 200:  # noqa: PLR2004 - HTTP's classes of status
            self.status = status
            self.begun = True
            if self._waiter is not None:
                self._wake()
        else:
            self.headers.clear()
            self.is_stream = self.is_encoded = self._framed = False

    def on_body(self, data: bytes) -> None:
        """Buffer a piece of the body until it is read."""
        self._silence = 0
        self.received += len(data)
        if self._draining:
            return
        self._pieces.append(data)
        self._buffered += len(data)
        self._heard = self._loop.time()
        self.deadline = self._heard + self.timeouts.idle
        if self._buffered > _HIGH_WATER and not self._paused and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True
        if self._waiter is not None:
            self._wake()

    def on_message_complete(self) -> None:
        """Mark the response as complete, unless it is an interim one."""
        if self.begun:
            self.complete = True
            self._reusable = self._parser.should_keep_alive()
            if self._waiter is not None:
                self._wake()

    # Called by the gateway.
    @property
    def unread(self) -> bool:
        """Whether the upstream has sent something, or closed the connection, while it was idle."""
        if self._poll is None and self._transport is not None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return self._poll is None or bool(self._poll.poll(0))

    async def send(
        self, head: bytes, body: bytes, timeouts: Timeouts, quiet: Quiet | None = None
    ) -> None:
        """Write a request and wait for the response's head; an error aborts the connection.

        Args:
            head: The request's head.
            body: Its body.
            timeouts: How long the upstream may take.
            quiet: What to do while it is silent; None for nothing.

        Raises:
            UpstreamTimeoutError: No answer within the time to the first byte.
            UpstreamInterruptedError: The connection broke.
            UpstreamAnswerError: The answer is not HTTP.
        """
        self._begin()
        self.in_use = True
        self.timeouts = timeouts
        self._heard = self._loop.time()
        self.deadline = self._heard + timeouts.first_byte
        if quiet is not None:
            self.quiet_seconds = quiet.seconds
        if self._transport is not None:
            self._transport.write(head + body)
        try:
            while not self.begun:
                await self._news()
                if self._is_quiet and quiet is not None:
                    self._is_quiet = False
                    await quiet.tell()
        except BaseException:
            self.close()
            raise
        if self._error is not None and not self._pieces:
            self.close()
            raise self._error

    async def piece(self) -> bytes:
        """Return the part of the body that arrived since the last call, empty at its end.

        After each pause of ``quiet_seconds`` it returns the object ``QUIET``.

        Raises:
            UpstreamError: As for ``send``.
        """
        while not self._pieces:
            if self.complete:
                return b""
            if self._is_quiet:
                self._is_quiet = False
                return QUIET
            await self._news()
        return self._take()

    async def peek(self) -> bytes:
        """Return the first part of the body and leave it there; empty without a body.

        Raises:
            UpstreamError: As for ``send``.
        """
        while not self._pieces:
            if self.complete:
                return b""
            await self._news()
        return self._pieces[0]

    def notice_quiet(self, now: float) -> None:
        """Let ``piece`` return if nothing has arrived for ``quiet_seconds``."""
        if self.quiet_seconds is not None and now - self._heard >= self.quiet_seconds:
            self._heard, self._is_quiet = now, True
            self._wake()

    def ignore_pauses(self) -> None:
        """Let ``piece`` no longer return ``QUIET``."""
        self.quiet_seconds, self._is_quiet = None, False

    def _take(self) -> bytes:
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._buffered = 0
        if self._paused and self._transport is not None:
            self._transport.resume_reading()
            self._paused = False
        return data

    async def read(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            UpstreamAnswerError: The body is longer than ``limit`` bytes.
            UpstreamError: As for ``send``.
        """
        pieces, size = [], 0
        while self._pieces or not self.complete:
            if not self._pieces:
                await self._news()
                continue
            data = self._take()
            pieces.append(data)
            size += len(data)
            if size > limit:
                raise UpstreamAnswerError(f"the upstream's answer is longer than {limit} bytes")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read_ahead(self, limit: int) -> bytes:
        """Return the whole body and keep it, so that it can be read again.

        Raises:
            UpstreamError: As for ``read``.
        """
        body = await self.read(limit)
        self._pieces[:] = [body] if body else []
        return body

    def drain(self, seconds: float) -> None:
        """Discard the rest of the body; if it ends in time, ``close`` keeps the connection."""
        self._draining = True
        self.deadline = self._loop.time() + seconds
        if self._pieces:
            self._take()

    def close(self) -> None:
        """Return the connection to the pool, or abort it if the response is incomplete."""
        if self._draining and not (self.complete or self.closed or self._error):
            return  # until its end or the deadline
        self.deadline = _FOREVER
        self.in_use = False
        if self.closed:
            return
        if self.complete and self._reusable and not self._pieces:
            self._pool.give_back(self)
        else:
            self._abort()

    def retire(self) -> None:
        """Close an idle connection."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def fail(self, error: Exception) -> None:
        """End the response with an error and abort the connection."""
        if self._error is None:
            self._error = error
        self._abort()
        self._wake()

    def _abort(self) -> None:
        self.closed = True
        self._pool.forget(self)
        if self._transport is not None:
            self._transport.abort()

    def _news(self) -> asyncio.Future[None]:
        """Return a future that is done when something arrives; raise the error if there is one."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _describe(error: Exception) -> UpstreamAnswerError:
    cause = error.__context__
    if isinstance(cause, _BadStatusError):
        return UpstreamAnswerError(f"the upstream answered with status {cause.args[0]}")
    return UpstreamAnswerError("the upstream's answer is not HTTP/1.1")
