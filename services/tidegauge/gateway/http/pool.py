"""A pool of connections to an upstream: it keeps, replaces and times them."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Final

from tidegauge.gateway.errors import (
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)
from tidegauge.gateway.http.addresses import Address, Timeouts
from tidegauge.gateway.http.client import Connection, Quiet

__all__ = ["Pool"]

_SWEEP_SECONDS: Final = 0.2
_AT_ONCE_SECONDS: Final = 1.0
"""A kept connection that closes this soon had been closed before the request reached it."""


class Pool:
    """A pool of connections to one upstream.

    Create it in a running event loop; ``close`` aborts every connection.
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

    async def request(
        self,
        head: bytes,
        body: bytes,
        timeouts: Timeouts | None = None,
        quiet: Quiet | None = None,
    ) -> Connection:
        """Send a request and return the connection once the response's head has arrived.

        If the upstream closes a kept connection at once and without a byte, the request is sent
        once more, on a new connection: the upstream may have closed it before.

        Args:
            head: The request's head.
            body: Its body.
            timeouts: How long the upstream may take; the pool's if None.
            quiet: See ``Connection.send``.

        Raises:
            UpstreamUnreachableError: No connection could be made.
            UpstreamTimeoutError: No connection within ``connect``, or no answer within
                ``first_byte``.
            UpstreamError: As for ``Connection.send``.
        """
        timeouts = timeouts or self.timeouts
        connection = self._kept()
        if connection is None:
            connection = await self._connect()
            await connection.send(head, body, timeouts, quiet)
            return connection
        began = self.loop.time()
        try:
            await connection.send(head, body, timeouts, quiet)
        except UpstreamInterruptedError:
            if connection.touched or self.loop.time() - began > _AT_ONCE_SECONDS:
                raise
        else:
            return connection
        connection = await self._connect()
        try:
            await connection.send(head, body, timeouts, quiet)
        except UpstreamError as error:
            error.repeats = 1
            raise
        connection.repeats = 1
        return connection

    def _kept(self) -> Connection | None:
        """Return a kept connection on which nothing has arrived; the others are closed."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.unread:
                self._busy.add(connection)
                return connection
            connection.retire()
        return None

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        self._busy.discard(connection)
        if self._retired:
            connection.retire()
            return
        connection.deadline = self.loop.time() + self.timeouts.keep_alive
        self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Remove a lost connection from the pool."""
        self._busy.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    @property
    def open_connections(self) -> int:
        """The number of open connections, in use or idle."""
        return len(self._busy) + len(self._idle)

    def retire(self) -> None:
        """Close idle connections now, and the others when their answers are complete."""
        self._retired = True
        while self._idle:
            self._idle.popleft().retire()

    def close(self) -> None:
        """Abort every connection."""
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
        self._busy.add(connection)
        return connection

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in [c for c in self._busy if c.deadline < now]:
            begun, timeouts = connection.begun, connection.timeouts
            limit = timeouts.idle if begun else timeouts.first_byte
            what = "the next piece of the answer" if begun else "an answer"
            connection.fail(UpstreamTimeoutError(f"no sign of {what} within {limit:g} s"))
        for connection in self._busy:
            if connection.quiet_seconds is not None:
                connection.notice_quiet(now)
        while self._idle and self._idle[0].deadline < now:
            self._idle.popleft().retire()
        self._timer = self.loop.call_later(_SWEEP_SECONDS, self._sweep)
