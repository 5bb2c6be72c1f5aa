"""Relays an upstream's answer to the client, and parses and measures it.

A header that is not known to describe the answer stays behind: framing and connections are the
gateway's own, and what speaks for a site (cookies, CORS, HSTS, ``Clear-Site-Data``, ``Alt-Svc``)
would speak for the gateway's. Proxies obey some ``x-`` headers, so these stay behind as well.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final, Protocol

from tidegauge.capture.answer import CONTENT_ENCODING, ParsedAnswer, decide
from tidegauge.gateway.apis import AnswerCollector, Api, ChunkKind
from tidegauge.gateway.apis.as_events import event_of
from tidegauge.gateway.completion import Completion
from tidegauge.gateway.errors import (
    ExchangeError,
    UpstreamAnswerError,
    UpstreamError,
    error_body,
)
from tidegauge.gateway.exchange_state import Exchange, Fault
from tidegauge.gateway.http.client import QUIET, Connection
from tidegauge.gateway.http.decoding import Decoder, without_encoding

if TYPE_CHECKING:
    from tidegauge.gateway.proxy.whole_answers import WholeAnswer

__all__ = [
    "FrameSplitter",
    "Headers",
    "Relay",
    "Sink",
    "data_of",
    "is_end",
    "passed_headers",
]

_OK: Final = 200
_EVENT_STREAM: Final = ((b"content-type", b"text/event-stream"),)
_MOST_GAPS: Final = 65_536
_END_SECONDS: Final = 1.0
_DONE: Final = b"[DONE]"
_BOM: Final = b"\xef\xbb\xbf"
_ERROR_EVENTS: Final = (b"event: error", b"event:error")
_ERROR: Final = b'{"error":"event"}'
_LONGEST_FRAME: Final = 16 * 1024 * 1024
_LONGEST_STREAM: Final = 256 * 1024 * 1024
"""Most bytes of a stream: a million tokens and more, since an event takes 200 bytes or so."""
_BLANK_LINE: Final = re.compile(rb"\r\n\r\n|\n\r?\n|\r\r")
_BLANK_LINE_BYTES: Final = 4
_CARRIAGE_RETURN: Final = 13

_PASSED: Final = frozenset(
    {
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-type",
        b"request-id",
        b"retry-after",
        b"retry-after-ms",
    }
)
_PREFIXES: Final = (b"x-", b"openai-", b"anthropic-")
_STAYING: Final = (
    b"x-accel-",
    b"x-content-type-options",
    b"x-dns-prefetch-control",
    b"x-frame-options",
    b"x-lighttpd-",
    b"x-permitted-cross-domain-policies",
    b"x-powered-by",
    b"x-request-id",
    b"x-robots-tag",
    b"x-sendfile",
    b"x-ua-compatible",
    b"x-webkit-csp",
    b"x-xss-protection",
)
_LIMITS: Final = b"x-ratelimit-"

Headers = list[tuple[bytes, bytes]]


class Sink(Protocol):
    """Sends an answer to the client.

    ``end`` and ``whole`` are called after the exchange has been concluded; an implementation
    may send their bytes once the exchange is recorded (see ``Completion.on_recorded``). An answer
    that gets neither is broken, and the server closes its connection.
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

    async def whole(self, whole: WholeAnswer) -> None:
        """Relay an answer that is not streamed.

        Raises:
            UpstreamAnswerError: As for ``stream``.
        """
        exchange, completion = self._exchange, self._completion
        if completion.must_check(exchange, whole.answer):
            await completion.check(exchange, whole.answer)
        if exchange.begun:
            await self._end_early(whole)
            return
        completion.conclude(exchange, whole.status, whole.answer)
        exchange.begun = True
        await self._sink.whole(whole.status, _headers(exchange, whole.headers), whole.body)

    async def keep_alive(self) -> None:
        """Tell a client that waits for a stream that the gateway is still there.

        With the first comment the client has a status, so that errors come as events from now on.
        """
        if not self._exchange.begun:
            self._exchange.begun = True
            await self._sink.begin(_OK, _headers(self._exchange, list(_EVENT_STREAM)))
        await self._sink.send(QUIET)

    async def _end_early(self, whole: WholeAnswer) -> None:
        """Relay an answer that is no stream as events, since the client has comments already."""
        asked, ending = self._exchange.asked, decide(whole.answer, whole.status, None, done=True)
        if ending.outcome == "unread":
            raise _unknown_encoding()
        fault, error = None, UpstreamAnswerError(ending.detail or "")
        if ending.error is None:
            wanted = asked is not None and asked.usage_wanted
            events = self._api.as_events(whole.body, with_usage=wanted)
        elif b'"error"' in whole.body:
            events = self._api.error_event + event_of(whole.body)
        else:
            events = error_frame(self._api, error)
        if ending.error is not None:
            fault = Fault(ending.error, error.detail)
        self._completion.conclude(self._exchange, _OK, whole.answer, fault)
        await self._sink.end(events)

    async def stream(self, connection: Connection, piece: bytes) -> None:
        """Relay a stream piece by piece, beginning with ``piece``.

        The end is held back until the exchange has been recorded. Nothing is written into a
        stream whose content encoding is unknown: its client could not decode the rest. If such a
        stream breaks, it gets no end, so that its client does not take it for a whole one.

        Raises:
            UpstreamAnswerError: The encoding is unknown, and the client has comments without it.
        """
        exchange, sink, completion = self._exchange, self._sink, self._completion
        reader = await self._begin(connection)
        fault: Fault | None = None
        last = b""
        try:
            if piece is QUIET and reader.is_opaque:
                piece = await connection.piece()
            passed = piece if piece is QUIET else reader.read(piece)
            while piece and not reader.done:
                if passed:
                    await sink.send(passed)
                while (piece := await connection.piece()) is QUIET:
                    await sink.send(QUIET)
                if connection.received > _LONGEST_STREAM:
                    raise UpstreamAnswerError("the upstream's stream has no end")
                passed = reader.read(piece) if piece else reader.end()
        except UpstreamError as error:
            passed, fault = b"", Fault(error.kind, error.detail)
            last = error_frame(self._api, error)
        answer = reader.answer()
        if fault is None and completion.must_check(exchange, answer):
            await completion.check(exchange, answer)
        completion.conclude(exchange, connection.status, answer, fault, done=reader.done)
        if fault is not None and reader.is_opaque:
            return
        # A client that has the whole answer is not told that its connection broke afterwards.
        await sink.end(passed if fault is None or answer.ended else passed + last)
        if fault is None:
            connection.drain(_END_SECONDS)

    async def _begin(self, connection: Connection) -> _StreamReader:
        """Send a stream's head, unless the client has it, and return the stream's reader.

        Raises:
            UpstreamAnswerError: As for ``stream``.
        """
        exchange, asked = self._exchange, self._exchange.asked
        collector = self._api.collector(1 if asked is None else asked.choices)
        hide = self._api.asks_for_usage and not (asked and asked.usage_wanted)
        headers = connection.headers
        decoder = Decoder(headers) if connection.is_encoded else None
        if decoder is None:
            reader = _StreamReader(exchange, collector, hide_usage=hide)
        elif decoder.known:
            reader = _StreamReader(exchange, collector, decoder, hide_usage=hide)
            headers = without_encoding(headers)
        elif exchange.begun:
            raise _unknown_encoding()
        else:
            reader = _OpaqueReader(exchange, collector)
            connection.ignore_pauses()
        exchange.collector = collector
        if not exchange.begun:
            exchange.begun = True
            await self._sink.begin(connection.status, _headers(exchange, headers))
        return reader


def _unknown_encoding() -> UpstreamAnswerError:
    return UpstreamAnswerError("the content encoding of the upstream's answer is unknown")


def error_frame(api: Api, error: ExchangeError) -> bytes:
    """Return the event by which a stream ends with an error."""
    return b"%bdata: %b\n\n" % (api.error_event, error_body(error))


class FrameSplitter:
    r"""Splits server-sent events into complete frames, each with its final blank line.

    Example:
        >>> splitter = FrameSplitter()
        >>> splitter.feed(b"data: a\n\ndata: b"), splitter.feed(b"\n\n")
        ([b'data: a\n\n'], [b'data: b\n\n'])
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0

    @property
    def rest(self) -> bytes:
        """Return the beginning of the next frame."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the frames that are now complete.

        Raises:
            UpstreamAnswerError: A frame does not end within 16 MiB.
        """
        if not self._buffer and data.endswith(b"\n\n") and _CARRIAGE_RETURN not in data:
            if data.find(b"\n\n") == len(data) - 2:
                return [data]
            return [frame + b"\n\n" for frame in data[:-2].split(b"\n\n")]
        buffer = self._buffer
        buffer += data
        frames, start = [], 0
        while found := _BLANK_LINE.search(buffer, max(start, self._searched)):
            frames.append(bytes(buffer[start : found.end()]))
            start = found.end()
        del buffer[:start]
        self._searched = max(0, len(buffer) - _BLANK_LINE_BYTES + 1)
        self._refuse_endless()
        return frames

    def _refuse_endless(self) -> None:
        if len(self._buffer) > _LONGEST_FRAME:
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
        line[5:].removeprefix(b" ")
        for line in frame.removeprefix(_BOM).splitlines()
        if line.startswith(b"data:")
    ]
    return b"\n".join(lines) if lines else None


def is_end(data: bytes) -> bool:
    """Whether an event's data say that the stream has ended.

    Example:
        >>> is_end(b"[DONE]"), is_end(b' "[done]"'), is_end(b"{}")
        (True, True, False)
    """
    return data == _DONE or data.strip(b' \t"').upper() == _DONE


class _StreamReader:
    """Parses the frames of a stream while they are relayed.

    Attributes:
        done: Whether ``[DONE]`` has arrived.
        is_opaque: Whether the stream passes as it is.

    Args:
        exchange: The exchange.
        collector: Assembles the answer.
        decoder: Decodes the stream; None for one without a content encoding.
        hide_usage: Whether the event with the usage is left out.
    """

    is_opaque = False

    def __init__(
        self,
        exchange: Exchange,
        collector: AnswerCollector,
        decoder: Decoder | None = None,
        *,
        hide_usage: bool = False,
    ) -> None:
        self.done = False
        self._decoder = decoder
        self._exchange = exchange
        self._splitter = FrameSplitter()
        self._collector = collector
        self._hide_usage = hide_usage

    def end(self) -> bytes:
        """Parse what the upstream ended without a blank line, and return it."""
        rest = self._splitter.rest
        data = data_of(rest)
        if data is not None and is_end(data):
            self.done = True
        elif data is not None:
            if self._collector.take(data) is ChunkKind.PIECE:
                self._time_piece()
        elif rest.lstrip().startswith(b"{"):
            self._collector.take(rest)  # an error that the upstream did not make an event
        return rest

    def answer(self) -> ParsedAnswer:
        """Return the answer as far as it was read."""
        return self._collector.answer()

    def read(self, piece: bytes) -> bytes:
        """Decode and parse a piece, and return the bytes to relay to the client.

        Raises:
            UpstreamAnswerError: The piece is not in its encoding, or an event is too long.
        """
        if self._decoder is not None:
            piece = self._decoder.decode(piece)
        passed = []
        for frame in self._splitter.feed(piece):
            data = data_of(frame)
            if data is not None and data[:1] != b"{" and is_end(data):
                self.done = True
            elif data is not None:
                seen = self._collector.take(data)
                if frame.startswith(_ERROR_EVENTS):
                    self._collector.take(_ERROR)
                if seen is ChunkKind.PIECE:
                    self._time_piece()
                if self._hide_usage:
                    if seen is ChunkKind.USAGE:
                        continue
                    # No string value can contain these bytes, since its quotes are escaped.
                    frame = frame.replace(b',"usage":null', b"")  # noqa: PLW2901 - the same frame
            elif frame.startswith(b"{"):
                self._collector.take(frame)  # an error that the upstream did not make an event
            passed.append(frame)
        return passed[0] if len(passed) == 1 else b"".join(passed)

    def _time_piece(self) -> None:
        exchange, now = self._exchange, time.perf_counter()
        if exchange.first_piece is None:
            exchange.first_piece = now
        elif len(exchange.gaps) < _MOST_GAPS:
            exchange.gaps.append(now - exchange.last_piece)
        exchange.last_piece = now


class _OpaqueReader(_StreamReader):
    """Passes a stream as it is, since its content encoding is unknown."""

    is_opaque = True

    def read(self, piece: bytes) -> bytes:
        return piece

    def answer(self) -> ParsedAnswer:
        answer = self._collector.answer()
        answer.leave_unread(CONTENT_ENCODING)
        return answer


def passed_headers(upstream: Headers, request_id: str, limits: Headers | None) -> Headers:
    """Return the headers of the client's answer, apart from its framing.

    Args:
        upstream: The upstream's headers, names in lower case.
        request_id: The exchange's id.
        limits: The customer's own ``x-ratelimit-…`` headers, which replace the upstream's; None
            for a customer without limits.

    Example:
        >>> passed_headers([(b"content-type", b"a/b"), (b"set-cookie", b"c=d")], "req-1", None)
        [(b'content-type', b'a/b'), (b'x-request-id', b'req-1')]
    """
    headers = []
    hop = b""
    for header in upstream:
        name = header[0]
        if name in _PASSED or (name.startswith(_PREFIXES) and not name.startswith(_STAYING)):
            headers.append(header)
        elif name == b"connection":
            hop += b"," + header[1].lower()
    if hop:
        named = {name.strip() for name in hop.split(b",")}
        headers = [header for header in headers if header[0] not in named]
    headers.append((b"x-request-id", request_id.encode()))
    if limits is not None:
        headers = [header for header in headers if not header[0].startswith(_LIMITS)]
        headers.extend(limits)
    return headers


def _headers(exchange: Exchange, upstream: Headers) -> Headers:
    reservation = exchange.reservation
    limits = None if reservation is None else reservation.headers
    return passed_headers(upstream, exchange.arrival.request_id, limits)
