"""Passes an upstream's answer on to the client, and learns from it on the way."""

from __future__ import annotations

import time
from typing import Final, Protocol

import msgspec

from tidegauge.gateway.apis import AnswerCollector, Api, ChunkKind, ParsedAnswer
from tidegauge.gateway.completion import Completion
from tidegauge.gateway.errors import UpstreamAnswerError, UpstreamError, error_body
from tidegauge.gateway.exchange import Exchange, Fault
from tidegauge.gateway.http.client import Connection
from tidegauge.gateway.http.sse import DONE, FrameSplitter, data_of, error_frame
from tidegauge.gateway.proxy.stream_timing import StreamTiming
from tidegauge.schemas.exchange import ErrorKind

__all__ = ["Headers", "Relay", "Sink", "Whole"]

Headers = list[tuple[bytes, bytes]]

_NOT_PASSED: Final = frozenset(
    {
        b"connection",
        b"content-length",
        b"date",
        b"keep-alive",
        b"proxy-authenticate",
        b"server",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-request-id",
    }
)
_ERRORS: Final = 400
_SERVER_ERRORS: Final = 500
_UNAUTHORIZED: Final = (401, 403)
_END_SECONDS: Final = 1.0


class Sink(Protocol):
    """Where an answer goes.

    Its end, and an answer in one piece, is handed over once the exchange has been concluded;
    it may leave once that is in the books (see ``Completion.once_entered``).
    """

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send an answer in one piece; its length is added to the headers."""
        await self.begin(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.end(body)

    async def begin(self, status: int, headers: Headers) -> None:
        """Send the head."""

    async def send(self, data: bytes) -> None:
        """Send a part of the body."""

    async def end(self, data: bytes = b"") -> None:
        """Send the last part of the body."""


class Whole(msgspec.Struct, frozen=True):
    """An answer that came in one piece.

    Attributes:
        status: HTTP status.
        headers: Response headers.
        body: Its bytes.
        answer: What they say.
    """

    status: int
    headers: Headers
    body: bytes
    answer: ParsedAnswer


class Relay:
    """One exchange's way back.

    Args:
        exchange: Which.
        dialect: The API that it speaks.
        sink: Where the answer goes.
        books: Where the exchange is recorded.
    """

    def __init__(self, exchange: Exchange, dialect: Api, sink: Sink, books: Completion) -> None:
        self._exchange = exchange
        self._dialect = dialect
        self._sink = sink
        self._books = books

    def read(self, connection: Connection, body: bytes) -> Whole:
        """Understand an answer that came in one piece, an error of the upstream's included.

        Raises:
            UpstreamAnswerError: The upstream refuses the gateway's own key.
        """
        status = connection.status
        if status in _UNAUTHORIZED:
            raise UpstreamAnswerError("the upstream refused the gateway's own API key")
        answer = self._dialect.answer(body) if status < _ERRORS else ParsedAnswer()
        return Whole(status, connection.headers, body, answer)

    async def whole(self, whole: Whole) -> None:
        """Pass on an answer that has come in one piece."""
        exchange, status, body = self._exchange, whole.status, whole.body
        if status < _ERRORS:
            await self._books.check_unless_shipped(exchange, whole.answer)
            self._books.conclude(exchange, status, whole.answer)
        else:
            server = status >= _SERVER_ERRORS
            kind = ErrorKind.UPSTREAM_ERROR if server else ErrorKind.UPSTREAM_REJECTED
            fault = Fault(kind, f"the upstream answered {status}")
            self._books.conclude(exchange, status, whole.answer, fault)
        exchange.begun = True
        await self._sink.whole(status, _headers(exchange, whole.headers), body)

    async def stream(self, connection: Connection, piece: bytes) -> None:
        """Pass on a stream, each piece as it comes; ``piece`` is its first.

        The end is held back until the exchange has been recorded.
        """
        exchange, sink, books = self._exchange, self._sink, self._books
        collector = exchange.collector = self._dialect.collector()
        hide = self._dialect.asks_for_usage and not (exchange.asked and exchange.asked.usage_wanted)
        reader = _StreamReader(collector, exchange.pace, hide_usage=hide)
        status = connection.status
        exchange.begun = True
        await sink.begin(status, _headers(exchange, connection.headers))
        try:
            passed = reader.read(piece)
            while piece and not reader.done:
                if passed:
                    await sink.send(passed)
                piece = await connection.piece()
                passed = reader.read(piece) if piece else reader.rest
        except UpstreamError as error:
            fault = Fault(error.kind, error.detail)
            books.conclude(exchange, status, collector.answer(), fault)
            await sink.end(error_frame(error_body(error)))
            return
        answer = collector.answer()
        fault_found = _fault(answer, done=reader.done)
        if fault_found is None:
            await books.check_unless_shipped(exchange, answer)
        books.conclude(exchange, status, answer, fault_found)
        await sink.end(passed)
        await connection.drain(_END_SECONDS)


class _StreamReader:
    """Reads frames as they pass.

    Attributes:
        done: Whether ``[DONE]`` has come.
    """

    def __init__(self, collector: AnswerCollector, pace: StreamTiming, *, hide_usage: bool) -> None:
        self.done = False
        self._splitter = FrameSplitter()
        self._collector = collector
        self._pace = pace
        self._hide_usage = hide_usage

    @property
    def rest(self) -> bytes:
        """Return what came after the last whole frame."""
        return self._splitter.rest

    def read(self, piece: bytes) -> bytes:
        """Take a piece into account and return what the client is to see of it."""
        passed = []
        for frame in self._splitter.feed(piece):
            data = data_of(frame)
            if data == DONE:
                self.done = True
            elif data is not None:
                seen = self._collector.take(data)
                if seen is ChunkKind.PIECE:
                    self._pace.add(time.perf_counter())
                if self._hide_usage:
                    if seen is ChunkKind.USAGE:
                        continue
                    # No text can contain this: its quotes would be escaped.
                    frame = frame.replace(b',"usage":null', b"")  # noqa: PLW2901 - the same frame
            passed.append(frame)
        return passed[0] if len(passed) == 1 else b"".join(passed)


def _fault(answer: ParsedAnswer, *, done: bool) -> Fault | None:
    if answer.failed:
        return Fault(ErrorKind.UPSTREAM_ERROR, "the upstream reported an error inside the stream")
    if not done and answer.finish_reason is None:
        return Fault(
            ErrorKind.UPSTREAM_INTERRUPTED,
            "the upstream ended the stream before the answer was complete",
        )
    return None


def _headers(exchange: Exchange, upstream: Headers) -> Headers:
    headers = [header for header in upstream if header[0] not in _NOT_PASSED]
    headers.append((b"x-request-id", exchange.request_id.encode()))
    if exchange.reservation is not None:
        headers.extend(exchange.reservation.headers)
    return headers
