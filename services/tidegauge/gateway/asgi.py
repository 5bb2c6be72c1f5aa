"""The hot routes as a raw ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from tidegauge.gateway.apis import Api
from tidegauge.gateway.completion import Completion
from tidegauge.gateway.engine import Engine
from tidegauge.gateway.errors import too_large
from tidegauge.gateway.exchange_state import Exchange
from tidegauge.gateway.http.bodies import decoded
from tidegauge.gateway.http.cors import CorsPolicy
from tidegauge.gateway.http.parser import content_length
from tidegauge.gateway.policy.keys import Caller, authorization, read_headers
from tidegauge.gateway.proxy.relay import Headers, Sink

__all__ = [
    "ApiRoutes",
    "BodyReader",
    "Message",
    "Receive",
    "Scope",
    "Send",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_CLOSE: Final = [(b"connection", b"close")]


class BodyReader:
    """Reads a request's body up to a limit and detects when the client disconnects.

    Args:
        receive: The ASGI callable.
        limit: Longest body in bytes.
        headers: The request's headers.
    """

    def __init__(self, receive: Receive, limit: int, headers: Mapping[bytes, bytes]) -> None:
        self._receive = receive
        self._limit = limit
        self._headers = headers

    async def read(self) -> bytes:
        """Return the body.

        Raises:
            RefusedError: The body is too long, and the rest has not been read, or it cannot be
                decoded.
            asyncio.CancelledError: The client disconnected while sending the body.
        """
        if content_length(self._headers) > self._limit:
            raise too_large(self._limit, _CLOSE)
        body, more = bytearray(), True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise asyncio.CancelledError
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._limit:
                raise too_large(self._limit, _CLOSE)
        return await decoded(bytes(body), self._headers, self._limit)

    async def until_client_leaves(self) -> None:
        """Return once the client has disconnected."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


class _AsgiSink(Sink):
    """Sends an answer through ASGI."""

    __slots__ = ("_completion", "_send")

    def __init__(self, send: Send, completion: Completion) -> None:
        self._send = send
        self._completion = completion

    async def begin(self, status: int, headers: Headers) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def send(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        self._completion.record()
        await self._send({"type": "http.response.body", "body": data, "more_body": False})


class ApiRoutes:
    """Serves the OpenAI-compatible routes.

    Args:
        engine: Answers the requests.
        apis: Path -> the API of that path.
        completion: Completes the exchanges.
        max_body_bytes: Longest request body.
        cors: Which sites' scripts may call; None for none.
    """

    def __init__(
        self,
        engine: Engine,
        apis: Mapping[str, Api],
        completion: Completion,
        *,
        max_body_bytes: int,
        cors: CorsPolicy | None = None,
    ) -> None:
        self.cors = cors
        self.engine = engine
        self.completion = completion
        self.apis = apis
        self.max_body_bytes = max_body_bytes

    def serves(self, scope: Scope) -> bool:
        """Whether a request is for one of these routes."""
        return scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in self.apis

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; it is cancelled if the client disconnects."""
        path, headers = scope["path"], read_headers(scope["headers"])
        exchange = Exchange.begin(path, headers)
        departure = _Departure(BodyReader(receive, self.max_body_bytes, headers), exchange)

        async def read() -> bytes:
            exchange.customer = self.engine.identify(Caller(authorization(headers)))
            return await departure.read_and_watch()

        try:
            sink = _AsgiSink(send, self.completion)
            await self.engine.serve(exchange, self.apis[path], read, sink)
        except asyncio.CancelledError:
            if not exchange.client_left:
                raise
        finally:
            departure.stop_watching()


class _Departure:
    """Cancels the task that serves a request once the client has disconnected."""

    __slots__ = ("_exchange", "_reader", "_serving", "_watching")

    def __init__(self, reader: BodyReader, exchange: Exchange) -> None:
        self._reader = reader
        self._exchange = exchange
        self._serving = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None

    async def read_and_watch(self) -> bytes:
        """Return the body and start watching for a disconnect."""
        try:
            body = await self._reader.read()
        except asyncio.CancelledError:
            self._exchange.client_left = True
            raise
        self._watching = asyncio.create_task(self._watch())
        return body

    async def _watch(self) -> None:
        await self._reader.until_client_leaves()
        if self._exchange.conclusion is None and self._serving is not None:
            self._exchange.client_left = True
            self._serving.cancel()

    def stop_watching(self) -> None:
        """Stop watching, since the answer is complete or its task has ended."""
        if self._watching is not None:
            self._watching.cancel()
