"""An HTTP/1.1 protocol for uvicorn that serves the hot routes without ASGI.

An ASGI server turns a request into dictionaries and an answer into several writes; for the hot
routes that costs as much as everything else that the gateway does. This protocol parses their
requests itself, with the same parser, and answers with one write. A connection that begins with
any other request is handed over to uvicorn's own protocol, which serves every route, including
the hot ones.

The key is examined when the head has arrived. Of a request without a valid one nothing is kept:
it is answered, what it still sends is discarded for two seconds, and the connection is closed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from tidegauge.gateway.apis import APIS
from tidegauge.gateway.errors import RefusedError
from tidegauge.gateway.http.asgi_protocol import AsgiProtocol
from tidegauge.gateway.http.client import QUIET
from tidegauge.gateway.http.closing import linger, waits_for_answer
from tidegauge.gateway.http.connections import ConnectionTable, OpenConnection
from tidegauge.gateway.http.flow_control import FlowControl
from tidegauge.gateway.http.parser import RequestReader
from tidegauge.gateway.policy.keys import Caller, authorization
from tidegauge.gateway.proxy.relay import Headers

if TYPE_CHECKING:
    from tidegauge.gateway.asgi import ApiRoutes

__all__ = ["HttpProtocol"]

_HOT: Final = re.compile(
    rb"POST (%b)/?(?:\?[^ ]*)? " % b"|".join([re.escape(path.encode()) for path in APIS])
)
_SHORTEST_HOT: Final = 64
"""Fewer bytes do not decide whether a request is for a hot route; queries may need more."""
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE: Final = b"connection: close\r\n"


def _final(status: bytes, message: bytes) -> bytes:
    body = (
        b'{"error":{"message":"%b","type":"invalid_request_error","param":null,'
        b'"code":"invalid_http"}}' % message
    )
    return (
        b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%b" % (status, len(body), body)
    )


_BAD_REQUEST: Final = _final(
    b"400 Bad Request", b"the request is not HTTP/1.1, or its head or trailers are too long"
)
_TOO_MANY: Final = _final(
    b"503 Service Unavailable", b"there are too many connections from this address"
)


class HttpProtocol(asyncio.Protocol):
    """The protocol of one client's connection.

    Attributes:
        transport: The connection's transport, once that is made.
        flow: Its flow control, likewise.

    Args:
        config: uvicorn's configuration; its ``app`` is the gateway.
        server_state: uvicorn's state: connections, tasks, the ``date`` header.
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
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.flow: FlowControl = cast("FlowControl", None)
        self._reader = self._new_reader()
        self._caller = Caller()
        self._hot: ApiRoutes | None = None
        self._connection: OpenConnection | None = None
        self._sink: SocketSink | None = None
        self._cors_headers: Headers = []
        self._task: asyncio.Task[None] | None = None
        self._asked: asyncio.Future[bool] | None = None
        self._pending = self._stopping = self._lingering = self._half_closed = False
        self._handed_over = False
        self._last_used = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def _new_reader(self) -> RequestReader:
        return RequestReader(self._admit, self._start, self._continue)

    # Called by the event loop.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection and start its keep-alive timer, unless it is one too many."""
        self.transport = cast("asyncio.Transport", transport)
        self.flow = FlowControl(self.transport, self._loop)
        self._state.connections.add(self)  # type: ignore[arg-type]  # it wants no more than shutdown
        table: ConnectionTable | None = getattr(self._config.app, "connections", None)
        if table is not None:
            self._connection = table.open(self.transport, self.transport.abort)
            if self._connection is None:
                self.transport.write(_TOO_MANY)
                self.transport.close()
                return
        self._last_used = self._loop.time()
        self._timer = self._loop.call_later(self._config.timeout_keep_alive, self._close_if_idle)

    def data_received(self, data: bytes) -> None:
        """Parse data or hand the connection over; hold data back while a request is answered."""
        reader = self._reader
        if reader.busy:
            if not self._lingering:
                self.flow.hold(data)
            return
        if not reader.reading:
            if self.flow.held:
                data = self.flow.release() + data
            if not self._begin(data):
                return
        self._last_used = self._loop.time()
        if not reader.read(data):
            self._refuse_connection()
        elif self._connection is not None and (self._connection.waiting or not reader.busy):
            self._set_deadline(self._connection, reader)
        if reader.ended and reader.rest:
            self.flow.hold(reader.rest)

    def _set_deadline(self, connection: OpenConnection, reader: RequestReader) -> None:
        if not reader.reading or reader.busy:
            connection.settle()
        elif reader.in_head:
            connection.wait_for_head()
        else:
            connection.wait_for_body()

    def eof_received(self) -> bool:
        """Answer a client that ended its side with its request; another one has left."""
        reader = self._reader
        if not reader.busy or reader.reading:
            return False
        self._half_closed = True
        sink = self._sink

        def comment() -> bytes | None:
            return None if sink is None else sink.comment()

        streams = sink is not None and sink.streaming
        idle_seconds = self._loop.time() - self._last_used
        return waits_for_answer(self.transport, idle_seconds, comment, streams=streams)

    def connection_lost(self, _error: Exception | None) -> None:
        """Cancel the request being answered, since the client has disconnected."""
        self._forget()
        if self._reader.busy and self._reader.exchange is not None:
            self._reader.exchange.client_left = True
        if self._task is not None:
            self._task.cancel()
        self.flow.resume_writing()

    def pause_writing(self) -> None:
        """Pause the answer, since the client reads too slowly."""
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        """Resume the answer, since the client has caught up."""
        self.flow.resume_writing()

    def shutdown(self) -> None:
        """Close the connection, after the current answer if there is one; called by uvicorn."""
        self._stopping = True
        if not self._reader.busy or self._lingering:
            self.transport.close()

    # The answer.
    def _begin(self, data: bytes) -> bool:
        """Begin a request to a hot route, or hand the connection over; return whether it began.

        Data that do not decide are held back; the deadline for the head ends the wait.
        """
        hot: ApiRoutes | None = getattr(self._config.app, "hot", None)
        if hot is not None:
            found = _HOT.match(data)
            if found is not None:
                self._hot = hot
                self._reader.begin(found[1].decode(), hot.max_body_bytes)
                return True
            if len(data) < _SHORTEST_HOT and b"POST /".startswith(data[:6]) and b"\n" not in data:
                self.flow.hold(data)
                if self._connection is not None:
                    self._connection.wait_for_head()
                return False
        self._hand_over(data)
        return False

    def _hand_over(self, data: bytes) -> None:
        self._state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        # The task may still settle the last request, so it is not cancelled.
        self._handed_over = True
        if self._asked is not None:
            self._asked.set_result(False)
        successor = AsgiProtocol(
            config=self._config,
            server_state=self._state,
            app_state=cast("dict[str, Any]", self._app_state),
            connection=self._connection,
        )
        successor.connection_made(self.transport)
        self.transport.set_protocol(successor)
        successor.data_received(data)

    def _forget(self) -> None:
        self._state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            self._connection.close()

    def _refuse_connection(self) -> None:
        if not self.transport.is_closing():
            if self._connection is not None:
                self._connection.refuse_data()
            self.transport.write(_BAD_REQUEST)
            self.transport.close()

    def _continue(self) -> None:
        self.transport.write(_CONTINUE)

    def _admit(self) -> RefusedError | None:
        """Identify the customer of the request whose head has arrived."""
        reader, hot, caller = self._reader, self._hot, self._caller
        if hot is None or reader.exchange is None:
            return None
        try:
            caller.authorization = authorization(reader.headers)
            reader.exchange.customer = hot.engine.identify(caller)
        except RefusedError as refusal:
            return refusal
        return None

    def _start(self) -> None:
        self._pending = True
        if self._task is None:
            self._task = self._loop.create_task(self._serve_all())
        elif self._asked is not None:
            self._asked.set_result(True)

    async def _serve_all(self) -> None:
        """Answer requests in one task: a task per request would cost as much as parsing it."""
        serving = cast("asyncio.Task[None]", asyncio.current_task())
        while not (self.transport.is_closing() or self._handed_over):
            if not self._pending:
                self._asked = self._loop.create_future()
                goes_on = await self._asked
                self._asked = None
                if not goes_on:
                    return
            self._pending = False
            self._state.tasks.add(serving)
            try:
                await self._serve()
            finally:
                self._state.tasks.discard(serving)

    async def _serve(self) -> None:
        reader, hot = self._reader, self._hot
        exchange = reader.exchange
        if exchange is None or hot is None:
            self.transport.close()
            return
        # What follows a refused or unreadable request cannot be told from it.
        close = self._stopping or reader.reading or (reader.ended and reader.rest is None)
        keep_alive = reader.keep_alive and not close
        sink = self._sink = SocketSink(self, keep_alive=keep_alive, can_chunk=reader.can_chunk)
        if hot.cors is not None:
            self._cors_headers = hot.cors.headers(reader.headers)
        api = hot.apis[reader.path]
        try:
            await hot.engine.serve(exchange, api, reader.read_body, sink)
        except asyncio.CancelledError:
            if not exchange.client_left:
                raise
        finally:
            if not sink.ended:
                self.transport.close()

    def end(self, data: bytes, *, keep_alive: bool) -> None:
        """Write an answer's last bytes once the exchange is recorded; then continue reading."""

        def leave() -> None:
            if not self.transport.is_closing():
                self.transport.write(data)
            if self.flow.writable is None:
                self._go_on(keep_alive=keep_alive)
            else:
                self.flow.once_writable(partial(self._go_on, keep_alive=keep_alive))

        cast("ApiRoutes", self._hot).completion.on_recorded(leave)

    def _go_on(self, *, keep_alive: bool) -> None:
        over = not keep_alive or self._stopping or self._half_closed
        if over or self.transport.is_closing():
            self._close()
            return
        self._last_used = self._loop.time()
        if self.flow.held:
            # The reader stays busy until then, so that data that arrive in between stay behind.
            self._loop.call_soon(self._read_held)
        else:
            self._be_ready()

    def _be_ready(self) -> None:
        if self._reader.ended:
            self._reader = self._new_reader()
        self._reader.busy = False

    def _read_held(self) -> None:
        if not self.transport.is_closing():
            self._be_ready()
            self.data_received(self.flow.release())

    def _close(self) -> None:
        """Close the connection; first let a client that is still sending read its answer."""
        if not self._reader.reading or self._stopping or self.transport.is_closing():
            self.transport.close()
            return
        self._lingering = True
        self.flow.release()
        linger(self.transport)

    def _close_if_idle(self) -> None:
        seconds = self._config.timeout_keep_alive
        left = self._last_used + seconds - self._loop.time()
        if self._reader.busy:
            left = seconds
        if left <= 0:
            self.transport.close()
        else:
            self._timer = self._loop.call_later(left, self._close_if_idle)

    def head(self, status: int, headers: Headers) -> bytes:
        """Return the head of an answer without its last headers and the blank line."""
        lines = map(b": ".join, (*self._state.default_headers, *headers, *self._cors_headers))
        return b"%b%b\r\n" % (STATUS_LINE[status], b"\r\n".join(lines))


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
        """Write a part of the body, and wait while the client reads too slowly."""
        head, self._head = self._head, b""
        self.streaming = True
        protocol = self._protocol
        protocol.transport.write(head + self._framed(data))
        if protocol.flow.writable is not None:
            await protocol.flow.writable

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def comment(self) -> bytes | None:
        """Return a comment as a stream frames it; None unless one goes on that may have it."""
        if not self.streaming or any(name == b"content-encoding" for name, _ in self._headers):
            return None
        return self._framed(QUIET)

    async def end(self, data: bytes = b"") -> None:
        """Write the last part of the body; without chunks, the connection's end is its end."""
        head, self._head = self._head, b""
        last = self._framed(data) if data else b""
        self._end(b"%b%b%b" % (head, last, b"0\r\n\r\n" if self._chunked else b""))

    def _end(self, data: bytes) -> None:
        self.ended, self.streaming = True, False
        self._protocol.end(data, keep_alive=self._keep_alive)
