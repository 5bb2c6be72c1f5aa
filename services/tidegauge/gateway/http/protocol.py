"""The hot routes straight from the socket: an HTTP/1.1 protocol for uvicorn.

An ASGI server turns a request into dictionaries, and an answer into several writes; for the
hot routes that costs as much as everything else that the gateway does. This protocol reads
those itself, with the same parser, and answers with one write. A connection that begins
with anything else, or with too little to tell, is handed over to uvicorn's own protocol,
which serves every route, the hot ones included.
"""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any, Final, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from tidegauge.gateway.apis import APIS
from tidegauge.gateway.asgi import ApiRoutes, begin_exchange, content_length, too_large
from tidegauge.gateway.errors import RefusedError
from tidegauge.gateway.exchange import Exchange
from tidegauge.gateway.policy.keys import Caller
from tidegauge.gateway.proxy.relay import Headers
from tidegauge.gateway.request_parser import AsgiProtocol, RequestParser, head_without_upgrade

__all__ = ["HttpProtocol"]

_HOT: Final = {b"POST " + path.encode() + b" ": path for path in APIS}
_HIGH_WATER: Final = 64 * 1024
_LONGEST_HEAD: Final = 64 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE: Final = b"connection: close\r\n"
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class HttpProtocol(asyncio.Protocol):
    """One client's connection.

    Args:
        config: uvicorn's; its ``app`` is the gateway.
        server_state: What uvicorn looks after: connections, tasks, the ``date`` header.
        app_state: The lifespan's state.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: MutableMapping[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._config, self._state, self._app_state = config, server_state, app_state
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self._parser = RequestParser(self)
        self._task: asyncio.Task[None] | None = None
        self._asked: asyncio.Future[None] | None = None
        self._pending = False
        self._busy = False
        self._hot: ApiRoutes | None = None
        self._caller = Caller()
        self._exchange: Exchange | None = None
        self._waiting = b""
        self._body: list[bytes] = []
        self._size = 0
        self._limit = 0
        self._refusal: RefusedError | None = None
        self._headers: dict[bytes, bytes] = {}
        self._path = ""
        self._in_request = False
        self._in_head = False
        self._pipelined = False
        self._keep_alive = False
        self._stopping = False
        self._writable: asyncio.Future[None] | None = None
        self._last_used = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # What the event loop calls.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection on."""
        self._transport = cast("asyncio.Transport", transport)
        self._state.connections.add(self)  # type: ignore[arg-type]  # it wants no more than shutdown
        self._last_used = self._loop.time()
        self._timer = self._loop.call_later(self._config.timeout_keep_alive, self._close_if_idle)

    def data_received(self, data: bytes) -> None:
        """Parse, or hand over; what comes while an answer is under way waits."""
        if self._busy:
            self._waiting += data
            if len(self._waiting) > _HIGH_WATER:
                self._transport.pause_reading()
            return
        if not self._in_request and not self._begin(data):
            return
        self._last_used = self._loop.time()
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._refuse_connection()
        if self._in_head:
            self._size += len(data)
            if self._size > _LONGEST_HEAD:
                self._refuse_connection()

    def connection_lost(self, _error: Exception | None) -> None:
        """Cancel the answer under way: its client has left."""
        self._state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._busy and self._exchange is not None:
            self._exchange.client_left = True
        if self._task is not None:
            self._task.cancel()
        self.resume_writing()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def shutdown(self) -> None:
        """Close now if nothing is under way, else after the answer; uvicorn calls it."""
        self._stopping = True
        if not self._busy:
            self._transport.close()

    # What the parser calls.
    def on_message_begin(self) -> None:
        """A request that comes before the last one's answer is not read.

        Clients that pipeline must expect the connection to be closed, and ask again.
        """
        self._pipelined = self._busy

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        if not self._pipelined:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Begin the exchange, and refuse what announces too much."""
        if self._pipelined or self._parser.offers_upgrade():
            return
        self._in_head, self._size = False, 0
        headers, self._keep_alive = self._headers, self._parser.should_keep_alive()
        self._exchange = begin_exchange(self._path, headers)
        self._refusal = None
        if content_length(headers) > self._limit:
            self._refusal = too_large(self._limit)
            self._start()
        elif headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(_CONTINUE)

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body."""
        if not self._busy:
            self._body.append(data)
            self._size += len(data)
            if self._size > self._limit:
                self._refusal = too_large(self._limit)
                self._start()

    def on_message_complete(self) -> None:
        """The request is there: answer it."""
        if self._parser.offers_upgrade():
            return
        self._in_request = False
        if not self._busy:
            self._start()

    def head_again(self) -> bytes:
        """Return the head just parsed, without its offer of an upgrade."""
        return head_without_upgrade(self._parser, self._path.encode(), self._headers.items())

    # The answer.
    async def read_body(self) -> bytes:
        """Return the body, which has been read already.

        Raises:
            RefusedError: It is too long.
        """
        if self._refusal is not None:
            raise self._refusal
        return self._body[0] if len(self._body) == 1 else b"".join(self._body)

    def _begin(self, data: bytes) -> bool:
        """Begin a request if it is a hot one, else hand the connection over."""
        hot: ApiRoutes | None = getattr(self._config.app, "hot", None)
        if hot is not None:
            for start, path in _HOT.items():
                if data.startswith(start):
                    self._hot, self._path, self._limit = hot, path, hot.max_body_bytes
                    self._in_request = self._in_head = True
                    self._headers, self._body, self._size = {}, [], 0
                    return True
        self._hand_over(data)
        return False

    def _hand_over(self, data: bytes) -> None:
        self._state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        successor = AsgiProtocol(
            config=self._config,
            server_state=self._state,
            app_state=cast("dict[str, Any]", self._app_state),
        )
        successor.connection_made(self._transport)
        self._transport.set_protocol(successor)
        successor.data_received(data)

    def _refuse_connection(self) -> None:
        if self._busy:
            self._pipelined = True  # what is wrong came after a request: that is answered first
            return
        self._transport.write(_BAD_REQUEST)
        self._transport.close()

    def _start(self) -> None:
        self._busy = self._pending = True
        if self._task is None:
            self._task = self._loop.create_task(self._serve_all())
        elif self._asked is not None:
            self._asked.set_result(None)

    async def _serve_all(self) -> None:
        """Answer one request after the other: a task for each would cost as much as its parsing."""
        serving = cast("asyncio.Task[None]", asyncio.current_task())
        while not self._transport.is_closing():
            if not self._pending:
                self._asked = self._loop.create_future()
                await self._asked
                self._asked = None
            self._pending = False
            self._state.tasks.add(serving)
            try:
                await self._serve()
            finally:
                self._state.tasks.discard(serving)

    async def _serve(self) -> None:
        exchange, hot = self._exchange, self._hot
        if exchange is None or hot is None:
            self._transport.close()
            return
        close = self._stopping or self._pipelined or self._refusal is not None
        sink = _WireSink(self, keep_alive=self._keep_alive and not close)
        self._caller.authorization = self._headers.get(b"authorization")
        try:
            await hot.serve(self._path, exchange, self._caller, self.read_body, sink)
        except asyncio.CancelledError:
            if not exchange.client_left:
                raise
        finally:
            if not sink.ended:
                self._transport.close()

    def end(self, data: bytes, *, keep_alive: bool) -> None:
        """Write the last bytes of an answer, once it is in the books, and go on."""

        def leave() -> None:
            if not self._transport.is_closing():
                self._transport.write(data)
            if self._writable is None:
                self._go_on(keep_alive=keep_alive)
            else:
                self._writable.add_done_callback(lambda _: self._go_on(keep_alive=keep_alive))

        cast("ApiRoutes", self._hot).books.once_entered(leave)

    def _go_on(self, *, keep_alive: bool) -> None:
        if not keep_alive or self._stopping or self._transport.is_closing():
            self._transport.close()
            return
        self._busy = False
        self._last_used = self._loop.time()
        if self._waiting:
            data, self._waiting = self._waiting, b""
            self._transport.resume_reading()
            self._loop.call_soon(self._feed_waiting, data)

    def _feed_waiting(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self.data_received(data)

    def _close_if_idle(self) -> None:
        seconds = self._config.timeout_keep_alive
        left = self._last_used + seconds - self._loop.time()
        if self._busy:
            left = seconds
        if left <= 0:
            self._transport.close()
        else:
            self._timer = self._loop.call_later(left, self._close_if_idle)

    async def write(self, data: bytes) -> None:
        """Write to the client, at its pace."""
        self._transport.write(data)
        if self._writable is not None:
            await self._writable

    def head(self, status: int, headers: Headers) -> bytes:
        """Return the head of an answer, but for what ends it."""
        lines = map(b": ".join, (*self._state.default_headers, *headers))
        return b"%b%b\r\n" % (STATUS_LINE[status], b"\r\n".join(lines))


class _WireSink:
    """Writes an answer; its head goes out together with what comes first.

    Attributes:
        ended: Whether the answer is complete.
    """

    __slots__ = ("_head", "_keep_alive", "_wire", "ended")

    def __init__(self, wire: HttpProtocol, *, keep_alive: bool) -> None:
        self._wire = wire
        self._head = b""
        self._keep_alive = keep_alive
        self.ended = False

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Write an answer in one piece."""
        head = self._wire.head(status, headers)
        close = b"" if self._keep_alive else _CLOSE
        self._end(b"%b%bcontent-length: %d\r\n\r\n%b" % (head, close, len(body), body))

    async def begin(self, status: int, headers: Headers) -> None:
        """Keep the head."""
        head = self._wire.head(status, headers)
        close = b"" if self._keep_alive else _CLOSE
        self._head = b"%b%btransfer-encoding: chunked\r\n\r\n" % (head, close)

    async def send(self, data: bytes) -> None:
        """Write a part of the body."""
        head, self._head = self._head, b""
        await self._wire.write(b"%b%x\r\n%b\r\n" % (head, len(data), data))

    async def end(self, data: bytes = b"") -> None:
        """Write the last part of the body."""
        head, self._head = self._head, b""
        last = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        self._end(b"%b%b0\r\n\r\n" % (head, last))

    def _end(self, data: bytes) -> None:
        self.ended = True
        self._wire.end(data, keep_alive=self._keep_alive)
