"""uvicorn's protocol within the gateway's bounds; it serves the routes that are not hot."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tidegauge.gateway.http.client import QUIET
from tidegauge.gateway.http.closing import linger, waits_for_answer
from tidegauge.gateway.http.connections import ConnectionTable, OpenConnection
from tidegauge.gateway.http.parser import (
    LONGEST_SILENCE,
    RequestParser,
    head_without_upgrade,
    longest_request,
)

__all__ = ["AsgiProtocol"]

_COMMENT: Final = b"%x\r\n%b\r\n" % (len(QUIET), QUIET)
_DEFAULT_LONGEST_BODY: Final = 20 * 1024 * 1024


class AsgiProtocol(HttpToolsProtocol):
    """uvicorn's protocol with ``RequestParser``, bounds and deadlines.

    uvicorn's own parser loses what follows an upgrade's head, adds trailers to the headers, and
    lets a request take any time.

    Args:
        config: uvicorn's configuration; its ``app`` is the gateway.
        server_state: uvicorn's state.
        app_state: The lifespan's state.
        connection: The connection's entry in the table, if it has one.
    """

    parser: RequestParser

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connection: OpenConnection | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser = RequestParser(self)
        # As in uvicorn: data after a request with ``connection: close`` are no error.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._connection = connection
        hot = getattr(config.app, "hot", None)
        longest = _DEFAULT_LONGEST_BODY if hot is None else hot.max_body_bytes
        self._longest_request = longest_request(longest)
        self._receiving = self._in_head = self._lingering = False
        self._silence = self._size = 0
        self._last_data = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Register the connection; close it if there are too many."""
        super().connection_made(transport)
        table: ConnectionTable | None = getattr(self.config.app, "connections", None)
        if self._connection is None and table is not None:
            self._connection = table.open(transport, transport.abort)
            if self._connection is None:
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection from the table."""
        super().connection_lost(exc)
        if self._connection is not None:
            self._connection.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a client that ended its side with its request; another one has left."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or self._receiving:
            return False
        cycle.keep_alive = False

        def comment() -> bytes | None:
            return None if cycle.response_complete else _COMMENT

        streams = cycle.response_started and bool(cycle.chunked_encoding)
        idle_seconds = self.loop.time() - self._last_data
        return waits_for_answer(self.transport, idle_seconds, comment, streams=streams)

    def data_received(self, data: bytes) -> None:
        """Parse data within the bounds, and start or stop the deadline of a request."""
        if self._lingering:
            return
        self._silence += len(data)
        self._size += len(data)
        self._last_data = self.loop.time()
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._silence > LONGEST_SILENCE or self._size > self._longest_request:
            self.send_400_response("The request is too long.")
        elif self._connection is not None:
            self._set_deadline(self._connection)

    def _set_deadline(self, connection: OpenConnection) -> None:
        if self._receiving and not self._in_head:
            connection.wait_for_body()
        elif self._receiving or self.cycle is None or self.cycle.response_complete:
            connection.wait_for_head()
        else:
            connection.settle()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is invalid, after the answers to the valid requests before it."""
        cycle = self.cycle
        if self._connection is not None:
            self._connection.refuse_data()
        answered = cycle is not None and cycle.response_complete
        if answered and self._receiving and not self._in_head:
            # It is the body of a request that was refused: let the client read its answer.
            self._lingering = True
            linger(self.transport)
        elif cycle is None or answered:
            super().send_400_response(msg)
        elif not cycle.more_body:
            cycle.keep_alive = False
            self.flow.pause_reading()
        elif self.pipeline or cycle.response_started:
            self.transport.abort()
        else:
            super().send_400_response(msg)

    def head_again(self) -> bytes:
        """Return the head just parsed, without its offer of an upgrade."""
        return head_without_upgrade(self.parser, self.url, self.headers)

    def on_message_begin(self) -> None:
        """Begin to count a request's bytes."""
        super().on_message_begin()
        self._receiving = self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header; trailers are ignored."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request, unless its head will be parsed again."""
        if not self.parser.offers_upgrade():
            self._in_head = False
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Store a piece of the body; the rest of a refused one counts as silence."""
        if not self.cycle.response_complete:
            self._silence = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request, unless its head will be parsed again."""
        if not self.parser.offers_upgrade():
            self._receiving = False
            self._silence = self._size = 0
            super().on_message_complete()
