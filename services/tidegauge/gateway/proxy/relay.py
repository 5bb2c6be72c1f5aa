"""Relays an upstream's answer to the client, and parses and measures it."""

from __future__ import annotations

import re
import time
from typing import Final, Protocol

import msgspec

from tidegauge.gateway.apis import AnswerCollector, Api, ChunkKind, ParsedAnswer
from tidegauge.gateway.completion import Completion
from tidegauge.gateway.errors import UpstreamAnswerError, UpstreamError, error_body
from tidegauge.gateway.exchange import Exchange, Fault, StreamTiming
from tidegauge.gateway.http.client import Connection
from tidegauge.schemas.exchange import ErrorKind

__all__ = ["FrameSplitter", "Headers", "Relay", "Sink", "WholeAnswer", "data_of"]

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
_DONE: Final = b"[DONE]"
_LONGEST_FRAME: Final = 16 * 1024 * 1024
_BLANK_LINE: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")


class Sink(Protocol):
    """Sends an answer to the client.

    ``end`` and ``whole`` are called after the exchange has been concluded; an implementation
    may send their bytes once the exchange is recorded (see ``Completion.on_recorded``).
    """

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send an answer in one piece, with its length added to the headers."""
        await self.begin(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.end(body)

    async def begin(self, status: int, headers: Headers) -> None:
        """Send the head."""

    async def send(self, data: bytes) -> None:
        """Send a part of the body."""

    async def end(self, data: bytes = b"") -> None:
        """Send the last part of the body."""


class WholeAnswer(msgspec.Struct, frozen=True):
    """An answer that is not streamed.

    Attributes:
        status: HTTP status.
        headers: Response headers.
        body: The body.
        answer: The parsed body.
    """

    status: int
    headers: Headers
    body: bytes
    answer: ParsedAnswer


class Relay:
    """Relays the answer of one exchange.

    Args:
        exchange: The exchange.
        api: The API of the request.
        sink: Sends the answer to the client.
        completion: Checks and concludes the exchange.
    """

    def __init__(self, exchange: Exchange, api: Api, sink: Sink, completion: Completion) -> None:
        self._exchange = exchange
        self._api = api
        self._sink = sink
        self._completion = completion

    def read(self, connection: Connection, body: bytes) -> WholeAnswer:
        """Parse an answer that is not streamed, including an upstream's error.

        Raises:
            UpstreamAnswerError: The upstream rejects the gateway's own key.
        """
        status = connection.status
        if status in _UNAUTHORIZED:
            raise UpstreamAnswerError("the upstream refused the gateway's own API key")
        answer = self._api.answer(body) if status < _ERRORS else ParsedAnswer()
        return WholeAnswer(status, connection.headers, body, answer)

    async def whole(self, whole: WholeAnswer) -> None:
        """Relay an answer that is not streamed."""
        exchange, status, body = self._exchange, whole.status, whole.body
        if status < _ERRORS:
            if self._completion.must_check(exchange, whole.answer):
                await self._completion.check(exchange, whole.answer)
            self._completion.conclude(exchange, status, whole.answer)
        else:
            server = status >= _SERVER_ERRORS
            kind = ErrorKind.UPSTREAM_ERROR if server else ErrorKind.UPSTREAM_REJECTED
            fault = Fault(kind, f"the upstream answered {status}")
            self._completion.conclude(exchange, status, whole.answer, fault)
        exchange.delivery.begun = True
        await self._sink.whole(status, _headers(exchange, whole.headers), body)

    async def stream(self, connection: Connection, piece: bytes) -> None:
        """Relay a stream piece by piece, beginning with ``piece``.

        The end is held back until the exchange has been recorded.
        """
        exchange, sink, completion = self._exchange, self._sink, self._completion
        delivery = exchange.delivery
        collector = delivery.collector = self._api.collector()
        hide = self._api.asks_for_usage and not (exchange.asked and exchange.asked.usage_wanted)
        reader = _StreamReader(collector, delivery.timing, hide_usage=hide)
        status = connection.status
        delivery.begun = True
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
            completion.conclude(exchange, status, collector.answer(), fault)
            await sink.end(b"data: " + error_body(error) + b"\n\n")
            return
        answer = collector.answer()
        failure = _fault(answer, done=reader.done)
        if failure is None and completion.must_check(exchange, answer):
            await completion.check(exchange, answer)
        completion.conclude(exchange, status, answer, failure)
        await sink.end(passed)
        await connection.drain(_END_SECONDS)


class FrameSplitter:
    r"""Splits server-sent events into complete frames, each with its final blank line.

    Example:
        >>> splitter = FrameSplitter()
        >>> splitter.feed(b"data: a\n\ndata: b"), splitter.feed(b"\n\n")
        ([b'data: a\n\n'], [b'data: b\n\n'])
    """

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that are now complete; ``rest`` holds the beginning of the next.

        Raises:
            UpstreamAnswerError: A frame does not end within 16 MiB.
        """
        if self.rest:
            data = self.rest + data
        if b"\r" in data:
            return self._feed_any(data)
        if (
            data.endswith(b"\n\n") and data.find(b"\n\n") == len(data) - 2
        ):  # exactly one complete frame, the usual case
            self.rest = b""
            return [data]
        frames = data.split(b"\n\n")
        self.rest = frames.pop()
        self._refuse_endless()
        return [frame + b"\n\n" for frame in frames]

    def _feed_any(self, data: bytes) -> list[bytes]:
        frames, start = [], 0
        for end in _BLANK_LINE.finditer(data):
            frames.append(data[start : end.end()])
            start = end.end()
        self.rest = data[start:]
        self._refuse_endless()
        return frames

    def _refuse_endless(self) -> None:
        if len(self.rest) > _LONGEST_FRAME:
            raise UpstreamAnswerError("an event of the upstream's stream has no end")


def data_of(frame: bytes) -> bytes | None:
    r"""Return a frame's data; None for a frame without data, such as a keep-alive comment.

    Example:
        >>> data_of(b"event: x\ndata: {}\n\n"), data_of(b": ping\n\n")
        (b'{}', None)
    """
    one_line = frame.endswith(b"\n\n") and frame.count(b"\n") == 2  # noqa: PLR2004 - its end
    if one_line and frame.startswith(b"data: "):
        return frame[6:-2]
    lines = [
        line[5:].removeprefix(b" ") for line in frame.splitlines() if line.startswith(b"data:")
    ]
    return b"\n".join(lines) if lines else None


class _StreamReader:
    """Parses the frames of a stream while they are relayed.

    Attributes:
        done: Whether ``[DONE]`` has arrived.
    """

    def __init__(
        self, collector: AnswerCollector, timing: StreamTiming, *, hide_usage: bool
    ) -> None:
        self.done = False
        self._splitter = FrameSplitter()
        self._collector = collector
        self._timing = timing
        self._hide_usage = hide_usage

    @property
    def rest(self) -> bytes:
        """Return the bytes after the last complete frame."""
        return self._splitter.rest

    def read(self, piece: bytes) -> bytes:
        """Parse a piece and return the bytes to relay to the client."""
        passed = []
        for frame in self._splitter.feed(piece):
            data = data_of(frame)
            if data == _DONE:
                self.done = True
            elif data is not None:
                seen = self._collector.take(data)
                if seen is ChunkKind.PIECE:
                    self._timing.add(time.perf_counter())
                if self._hide_usage:
                    if seen is ChunkKind.USAGE:
                        continue
                    # No string value can contain these bytes, since its quotes are escaped.
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
    headers.append((b"x-request-id", exchange.arrival.request_id.encode()))
    if exchange.reservation is not None:
        headers.extend(exchange.reservation.headers)
    return headers
