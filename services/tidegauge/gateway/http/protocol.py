"""An HTTP/1.1 protocol for uvicorn that serves the hot routes without ASGI.

An ASGI server turns a request into dictionaries and an answer into several writes; for the hot
routes that costs as much as everything else that the gateway does. This protocol parses their
requests itself, with the same parser, and answers with one write. A connection that begins with
any other request, or with too few bytes to decide, is handed over to uvicorn's own protocol,
which serves every route, including the hot ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from tidegauge.gateway.apis import APIS
from tidegauge.gateway.http.parser import AsgiProtocol, RequestReader
from tidegauge.gateway.policy.keys import Caller
from tidegauge.gateway.proxy.relay import Headers

if TYPE_CHECKING:
    from tidegauge.gateway.asgi import ApiRoutes

__all__ = ["FlowControl", "HttpProtocol"]

_HOT: Final = {b"POST " + path.encode() + b" ": path for path in APIS}
_HIGH_WATER: Final = 64 * 1024
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_CLOSE: Final = b"connection: close\r\n"
_BAD_REQUEST: Final = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class FlowControl:
    """Limits what a connection buffers in both directions.

    Data that arrive while a request is being answered are held back, and reading pauses when
    they exceed 64 KiB. Writing an answer waits while the client reads too slowly.

    Args:
        transport: The connection's transport.
        loop: The event loop.
    """

    __slots__ = ("_held", "_loop", "_transport", "_writable")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self._writable: asyncio.Future[None] | None = None

    def hold(self, data: bytes) -> None:
        """Hold back received data."""
        self._held += data
        if len(self._held) > _HIGH_WATER:
            self._transport.pause_reading()

    def release(self) -> bytes:
        """Return the data that were held back and resume reading."""
        data, self._held = self._held, b""
        if data:
            self._transport.resume_reading()
        return data

    def pause_writing(self) -> None:
        """Make writers wait for the client."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let writers continue."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    async def write(self, data: bytes) -> None:
        """Write to the client, and wait while its buffer is full."""
        self._transport.write(data)
        if self._writable is not None:
            await self._writable

    def once_writable(self, go_on: Callable[[], None]) -> None:
        """Call a function once the connection can be written to."""
        if self._writable is None:
            go_on()
        else:
            self._writable.add_done_callback(lambda _: go_on())


class HttpProtocol(asyncio.Protocol):
    """The protocol of one client's connection.

    Attributes:
        flow: Flow control, once the connection is made.

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
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.flow: FlowControl = cast("FlowControl", None)
        self._reader = RequestReader(self._start, self._continue)
        self._caller = Caller()
        self._hot: ApiRoutes | None = None
        self._task: asyncio.Task[None] | None = None
        self._asked: asyncio.Future[None] | None = None
        self._pending = False
        self._stopping = False
        self._last_used = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # Called by the event loop.
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection and start its keep-alive timer."""
        self._transport = cast("asyncio.Transport", transport)
        self.flow = FlowControl(self._transport, self._loop)
        self._state.connections.add(self)  # type: ignore[arg-type]  # it wants no more than shutdown
        self._last_used = self._loop.time()
        self._timer = self._loop.call_later(self._config.timeout_keep_alive, self._close_if_idle)

    def data_received(self, data: bytes) -> None:
        """Parse data or hand the connection over; hold data back while a request is answered."""
        reader = self._reader
        if reader.busy:
            self.flow.hold(data)
            return
        if not reader.reading and not self._begin(data):
            return
        self._last_used = self._loop.time()
        if not reader.read(data):
            self._refuse_connection()

    def connection_lost(self, _error: Exception | None) -> None:
        """Cancel the request being answered, since the client has disconnected."""
        self._state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
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
        if not self._reader.busy:
            self._transport.close()

    # The answer.
    def _begin(self, data: bytes) -> bool:
        """Begin a request to a hot route, or hand the connection over; return whether it began."""
        hot: ApiRoutes | None = getattr(self._config.app, "hot", None)
        if hot is not None:
            for start, path in _HOT.items():
                if data.startswith(start):
                    self._hot = hot
                    self._reader.begin(path, hot.max_body_bytes)
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
        if self._reader.busy:
            # The invalid data follow a valid request, which is answered first.
            self._reader.pipelined = True
            return
        self._transport.write(_BAD_REQUEST)
        self._transport.close()

    def _continue(self) -> None:
        self._transport.write(_CONTINUE)

    def _start(self) -> None:
        self._pending = True
        if self._task is None:
            self._task = self._loop.create_task(self._serve_all())
        elif self._asked is not None:
            self._asked.set_result(None)

    async def _serve_all(self) -> None:
        """Answer requests in one task: a task per request would cost as much as parsing it."""
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
        reader, hot = self._reader, self._hot
        exchange = reader.exchange
        if exchange is None or hot is None:
            self._transport.close()
            return
        close = self._stopping or reader.pipelined or reader.refusal is not None
        sink = _SocketSink(self, keep_alive=reader.keep_alive and not close)
        self._caller.authorization = reader.headers.get(b"authorization")
        api = hot.apis[reader.path]
        try:
            await hot.engine.serve(exchange, api, self._caller, reader.read_body, sink)
        except asyncio.CancelledError:
            if not exchange.client_left:
                raise
        finally:
            if not sink.ended:
                self._transport.close()

    def end(self, data: bytes, *, keep_alive: bool) -> None:
        """Write an answer's last bytes once the exchange is recorded; then continue reading."""

        def leave() -> None:
            if not self._transport.is_closing():
                self._transport.write(data)
            self.flow.once_writable(partial(self._go_on, keep_alive=keep_alive))

        cast("ApiRoutes", self._hot).completion.on_recorded(leave)

    def _go_on(self, *, keep_alive: bool) -> None:
        if not keep_alive or self._stopping or self._transport.is_closing():
            self._transport.close()
            return
        self._reader.busy = False
        self._last_used = self._loop.time()
        held = self.flow.release()
        if held:
            self._loop.call_soon(self._read_held, held)

    def _read_held(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self.data_received(data)

    def _close_if_idle(self) -> None:
        seconds = self._config.timeout_keep_alive
        left = self._last_used + seconds - self._loop.time()
        if self._reader.busy:
            left = seconds
        if left <= 0:
            self._transport.close()
        else:
            self._timer = self._loop.call_later(left, self._close_if_idle)

    def head(self, status: int, headers: Headers) -> bytes:
        """Return the head of an answer without its last headers and the blank line."""
        lines = map(b": ".join, (*self._state.default_headers, *headers))
        return b"%b%b\r\n" % (STATUS_LINE[status], b"\r\n".join(lines))


class _SocketSink:
    """Writes an answer to the socket, its head together with the first part of the body.

    Attributes:
        ended: Whether the answer is complete.
    """

    __slots__ = ("_head", "_keep_alive", "_protocol", "ended")

    def __init__(self, protocol: HttpProtocol, *, keep_alive: bool) -> None:
        self._protocol = protocol
        self._head = b""
        self._keep_alive = keep_alive
        self.ended = False

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Write an answer in one piece."""
        head = self._protocol.head(status, headers)
        close = b"" if self._keep_alive else _CLOSE
        self._end(b"%b%bcontent-length: %d\r\n\r\n%b" % (head, close, len(body), body))

    async def begin(self, status: int, headers: Headers) -> None:
        """Store the head until the first part of the body."""
        head = self._protocol.head(status, headers)
        close = b"" if self._keep_alive else _CLOSE
        self._head = b"%b%btransfer-encoding: chunked\r\n\r\n" % (head, close)

    async def send(self, data: bytes) -> None:
        """Write a part of the body."""
        head, self._head = self._head, b""
        await self._protocol.flow.write(b"%b%x\r\n%b\r\n" % (head, len(data), data))

    async def end(self, data: bytes = b"") -> None:
        """Write the last part of the body."""
        head, self._head = self._head, b""
        last = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        self._end(b"%b%b0\r\n\r\n" % (head, last))

    def _end(self, data: bytes) -> None:
        self.ended = True
        self._protocol.end(data, keep_alive=self._keep_alive)
