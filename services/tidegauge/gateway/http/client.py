"""A lean HTTP/1.1 client for a few upstreams: keep-alive, streaming, deadlines, nothing else.

General clients spend most of their time on what a gateway does not need (cookies, redirects,
decompression, middleware). Here a request is one write, a response one parser's callbacks,
and one timer per pool looks after every deadline.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from typing import Final, cast

import httptools

from tidegauge.gateway.errors import (
    UpstreamAnswerError,
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from tidegauge.gateway.http.addresses import Address, Timeouts

__all__ = ["Connection", "Pool"]

_HIGH_WATER: Final = 256 * 1024
_SWEEP_SECONDS: Final = 0.2
_FRAMING: Final = (b"content-length", b"transfer-encoding")
_FOREVER: Final = float("inf")


class Connection(asyncio.Protocol):
    """One connection, and the one response that is being read from it.

    Attributes:
        status: The response's.
        headers: The response's, names in lower case.
        is_stream: Whether it is a stream of events.
        complete: Whether all of it has come.
        deadline: When it must show the next sign of life.
        in_use: Whether a response is being read.
        closed: Whether the connection is gone.

    Read ``status`` and ``headers`` after ``Pool.request``, then call ``piece`` until it
    returns nothing, or ``read``. ``close`` gives the connection back to the pool when the
    response was complete, and cuts it off when it was not.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._loop = pool.loop
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._pieces: list[bytes] = []
        self._buffered = 0
        self._paused = False
        self._error: Exception | None = None
        self._parser = httptools.HttpResponseParser(self)
        self.deadline = _FOREVER
        self.closed = False
        self.in_use = False
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.is_stream = False
        self.headers: list[tuple[bytes, bytes]] = []
        self._head = False
        self.complete = False
        self._framed = False
        self._reusable = False

    # What the event loop calls.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        if not self.in_use:
            self.fail(UpstreamAnswerError("the upstream spoke without being asked"))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(UpstreamAnswerError("the upstream's answer is not HTTP/1.1"))

    def connection_lost(self, exc: Exception | None) -> None:
        """End the response, well or badly, and leave the pool."""
        self.closed = True
        self._pool.forget(self)
        if self._head and not self._framed and exc is None and not self.complete:
            self.complete = True  # a body without a length ends with the connection
        if not self.complete and self._error is None:
            self._error = UpstreamInterruptedError("the upstream closed the connection")
        self._wake()

    # What the parser calls.
    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect one header, its name in lower case."""
        name = name.lower()
        if name in _FRAMING:
            self._framed = True
        elif name == b"content-type":
            self.is_stream = value.startswith(b"text/event-stream")
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there, unless it is an interim response's."""
        status = self._parser.get_status_code()
        if status >= 200:  # noqa: PLR2004 - HTTP's classes of status
            self.status = status
            self._head = True
            self._wake()
        else:
            self.headers.clear()

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body until it is asked for."""
        self._pieces.append(data)
        self._buffered += len(data)
        self.deadline = self._loop.time() + self._pool.timeouts.idle
        if self._buffered > _HIGH_WATER and not self._paused and self._transport is not None:
            self._transport.pause_reading()
            self._paused = True
        self._wake()

    def on_message_complete(self) -> None:
        """The response has ended, unless it was an interim one."""
        if self._head:
            self.complete = True
            self._reusable = self._parser.should_keep_alive()
            self._wake()

    # What the gateway calls.
    @property
    def begun(self) -> bool:
        """Whether a final status line has come."""
        return self._head

    async def send(self, head: bytes, body: bytes) -> None:
        """Write a request and wait for the response's head.

        Raises:
            UpstreamTimeoutError: No answer within the time to the first byte.
            UpstreamInterruptedError: The connection broke.
            UpstreamAnswerError: The answer is not HTTP.
        """
        self._begin()
        self.in_use = True
        self.deadline = self._loop.time() + self._pool.timeouts.first_byte
        if self._transport is not None:
            self._transport.write(head + body)
        while not self._head:
            await self._news()
        if self._error is not None and not self._pieces:
            raise self._error

    async def piece(self) -> bytes:
        """Return what has come of the body since the last call, empty at its end.

        Raises:
            UpstreamError: As for ``send``.
        """
        while not self._pieces:
            if self.complete:
                return b""
            await self._news()
        return self._take()

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
            UpstreamAnswerError: It is longer than ``limit`` bytes.
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

    async def drain(self, seconds: float) -> None:
        """Wait a little for the end of a body whose rest does not matter."""
        self.deadline = self._loop.time() + seconds
        with suppress(UpstreamError):
            while not self.complete:
                self._pieces.clear()
                await self._news()
        self._pieces.clear()

    def close(self) -> None:
        """Give the connection back, or cut it off in the middle of a response."""
        self.deadline = _FOREVER
        self.in_use = False
        if self.closed:
            return
        if self.complete and self._reusable and not self._pieces:
            self._pool.give_back(self)
        elif self._transport is not None:
            self._transport.abort()

    def retire(self) -> None:
        """Close a kept connection that nobody has needed for long."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def fail(self, error: Exception) -> None:
        """End the response with an error and cut the connection off."""
        if self._error is None:
            self._error = error
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def _news(self) -> asyncio.Future[None]:
        """Return what is done once something has come, or raise what has gone wrong."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Pool:
    """Connections to one upstream.

    Must be made in a running event loop; ``close`` cuts every connection.
    """

    def __init__(self, address: Address, timeouts: Timeouts) -> None:
        self.address = address
        self.timeouts = timeouts
        self.loop = asyncio.get_running_loop()
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        self._retired = False
        self._tls = ssl.create_default_context() if address.tls else None
        self._timer = self.loop.call_later(_SWEEP_SECONDS, self._sweep)

    async def request(self, head: bytes, body: bytes) -> Connection:
        """Send a request and return the connection once the response's head is there.

        A kept connection that the upstream closed before it answered with anything is
        replaced by a new one, as every client with keep-alive must.

        Raises:
            UpstreamUnreachableError: No connection could be made.
            UpstreamTimeoutError: Not within ``connect``, or no answer within ``first_byte``.
            UpstreamError: As for ``Connection.send``.
        """
        while True:
            kept = bool(self._idle)
            connection = self._idle.pop() if kept else await self._connect()
            self._busy.add(connection)
            try:
                await connection.send(head, body)
            except UpstreamInterruptedError:
                if kept and not connection.begun:
                    continue
                raise
            except BaseException:
                connection.close()
                raise
            return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        self._busy.discard(connection)
        if self._retired:
            connection.retire()
            return
        connection.deadline = self.loop.time() + self.timeouts.keep_alive
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Drop a connection that was lost."""
        self._busy.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    @property
    def open_connections(self) -> int:
        """How many connections stand, used or kept."""
        return len(self._busy) + len(self._idle)

    def retire(self) -> None:
        """Close what is unused now, and the rest when its answer is complete."""
        self._retired = True
        while self._idle:
            self._idle.popleft().retire()

    def close(self) -> None:
        """Cut every connection off."""
        self._timer.cancel()
        for connection in [*self._busy, *self._idle]:
            connection.fail(UpstreamInterruptedError("the gateway is stopping"))

    async def _connect(self) -> Connection:
        where = f"{self.address.host}:{self.address.port}"
        try:
            async with asyncio.timeout(self.timeouts.connect):
                _, connection = await self.loop.create_connection(
                    lambda: Connection(self), self.address.host, self.address.port, ssl=self._tls
                )
        except TimeoutError as error:
            raise UpstreamTimeoutError(
                f"no connection to {where} within {self.timeouts.connect:g} s"
            ) from error
        except OSError as error:
            raise UpstreamUnreachableError(f"cannot connect to {where}: {error}") from error
        return connection

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in [c for c in self._busy if c.deadline < now]:
            begun = connection.begun
            limit = self.timeouts.idle if begun else self.timeouts.first_byte
            what = "the next piece of the answer" if begun else "an answer"
            connection.fail(UpstreamTimeoutError(f"no sign of {what} within {limit:g} s"))
        while self._idle and self._idle[0].deadline < now:
            self._idle.popleft().retire()
        self._timer = self.loop.call_later(_SWEEP_SECONDS, self._sweep)
