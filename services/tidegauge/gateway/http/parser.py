"""Parses HTTP/1.1 requests, ignores offers to upgrade, and bounds what a request may send.

RFC 9110, section 7.8, lets a server ignore ``Upgrade``. The JDK's client and ``curl --http2``
offer HTTP/2 with every cleartext request and accept an HTTP/1.1 answer. httptools treats such a
request as ended after its head and reports the offset in the data; the body that follows would
be parsed as another request.

Heads, trailers and the framing of chunks are bounded by one rule: at most 64 KiB may arrive
without any of the body. The whole of a request may be twice as long as its longest body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

import httptools

from tidegauge.gateway.errors import RefusedError, too_large
from tidegauge.gateway.exchange_state import Exchange
from tidegauge.gateway.http.bodies import BYTE_ORDER_MARK, decoded
from tidegauge.gateway.policy.keys import of_both

__all__ = [
    "LONGEST_SILENCE",
    "RequestParser",
    "RequestReader",
    "content_length",
    "head_without_upgrade",
    "longest_request",
]

LONGEST_SILENCE: Final = 64 * 1024
"""Most bytes of a request that may arrive without any of its body."""
_HEAD_END: Final = b"\r\n\r\n"
_LONGEST_LENGTH: Final = 20


def longest_request(longest_body: int) -> int:
    """Return the most bytes of a request, head and framing included."""
    return 2 * longest_body + LONGEST_SILENCE


def content_length(headers: Mapping[bytes, bytes]) -> int:
    """Return the value of ``content-length``; 0 if it is missing or invalid."""
    text = headers.get(b"content-length", b"")
    return int(text) if text.isdigit() and len(text) < _LONGEST_LENGTH else 0


class _Callbacks(Protocol):
    def head_again(self) -> bytes:
        """Return the head just parsed, without its offer of an upgrade."""


class RequestParser(httptools.HttpRequestParser):
    """Parses requests; a head that offers an upgrade is parsed again without the offer.

    The callbacks of the first pass must be ignored; ``offers_upgrade`` is true during that pass.

    Args:
        callbacks: Object with httptools' callbacks and ``head_again``.
    """

    def __init__(self, callbacks: _Callbacks) -> None:
        super().__init__(callbacks)
        self._head_again = callbacks.head_again

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # nobody has others
        """Parse data.

        Raises:
            httptools.HttpParserError: The data are not HTTP.
            httptools.HttpParserUpgrade: The request is a ``CONNECT``; what follows is not HTTP.
        """
        while True:
            try:
                super().feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if self.get_method() == b"CONNECT":
                    raise
                data = self._head_again() + data[offer.args[0] :]
            else:
                return

    def offers_upgrade(self) -> bool:
        """Whether the head just parsed will be parsed again without its offer of an upgrade."""
        return bool(self.should_upgrade()) and self.get_method() != b"CONNECT"


def head_without_upgrade(
    parser: RequestParser, target: bytes, headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """Return the head that a parser has just parsed, without ``Upgrade``.

    Args:
        parser: The parser; it has the method and the version.
        target: The request's target.
        headers: The request's headers, names in lower case.
    """
    version = parser.get_http_version().encode()
    lines = [b"%b %b HTTP/%b" % (parser.get_method(), target, version)]
    lines += [b"%b: %b" % header for header in headers if header[0] != b"upgrade"]
    return b"\r\n".join([*lines, b"\r\n"])


class _NextRequestError(Exception):
    """Another request begins before the last one is answered."""


class RequestReader(RequestParser):
    """Reads the requests of one connection, one at a time.

    Attributes:
        exchange: The exchange that began with the last request's head.
        headers: The last request's headers, names in lower case; trailers are ignored.
        path: The last request's path.
        refusal: Why the last request is refused before its end; None if it is not.
        keep_alive: Whether the client keeps the connection.
        can_chunk: Whether the client understands chunked answers, which HTTP/1.0 does not.
        reading: Whether a request has begun and not ended.
        in_head: Whether the head of a request is still incomplete.
        busy: Whether a request has been read and not yet answered; reset it after the answer.
        ended: Whether the reader cannot be used for a further request.
        rest: The data after the last request, if ``ended``; None if their start is not known.

    Args:
        on_head: Called with a request's head; returns why the request is refused, or None.
        on_request: Called when a request has been read or is refused.
        on_expect: Called when the client waits for ``100 Continue``.
    """

    def __init__(
        self,
        on_head: Callable[[], RefusedError | None],
        on_request: Callable[[], None],
        on_expect: Callable[[], None],
    ) -> None:
        super().__init__(self)
        self._on_head = on_head
        self._on_request = on_request
        self._on_expect = on_expect
        self.exchange: Exchange | None = None
        self.headers: dict[bytes, bytes] = {}
        self.path = ""
        self.refusal: RefusedError | None = None
        self.keep_alive = self.reading = self.busy = self.ended = self.in_head = False
        self.can_chunk = True
        self.rest: bytes | None = None
        self._body: bytes | bytearray = b""
        self._silence = self._size = self._limit = 0
        self._head_tail = b""
        self._is_offer = False

    def begin(self, path: str, limit: int) -> None:
        """Begin a request.

        Args:
            path: The request's path.
            limit: Longest body in bytes.
        """
        self.path, self._limit = path, limit
        self.reading = self.in_head = True
        self.headers, self._body, self._head_tail = {}, b"", b""
        self._silence = self._size = 0

    def read(self, data: bytes) -> bool:
        """Parse further data; return whether they are HTTP and within the bounds."""
        in_head, before = self.in_head, len(self._body)
        self._silence += len(data)
        self._size += len(data)
        try:
            self.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.busy:
                return False
            self.ended = True
            end = self._end_of_request(data, before, in_head=in_head)
            self.rest = None if end is None else data[end:]
            return True
        if not self.reading:
            return True
        if self.in_head:
            self._head_tail = (self._head_tail + data)[-len(_HEAD_END) + 1 :]
        elif self._size > longest_request(self._limit) and not self.busy:
            self._refuse(too_large(self._limit))
        return self._silence <= LONGEST_SILENCE

    def _end_of_request(self, data: bytes, before: int, *, in_head: bool) -> int | None:
        """Return where in the data the request ends; None if its body was chunked.

        Args:
            data: The data.
            before: Bytes of the body that had arrived before.
            in_head: Whether the head was incomplete before.
        """
        if b"transfer-encoding" in self.headers or self.refusal is not None:
            return None
        length = content_length(self.headers)
        if not in_head:
            return length - before
        end = (self._head_tail + data).find(_HEAD_END)
        return end + len(_HEAD_END) - len(self._head_tail) + length if end >= 0 else None

    async def read_body(self) -> bytes:
        """Return the last request's body, which has been read already, decoded.

        Raises:
            RefusedError: The request was refused, or its body cannot be decoded.
        """
        if self.refusal is not None:
            raise self.refusal
        body = bytes(self._body)
        if b"content-encoding" in self.headers or body.startswith(BYTE_ORDER_MARK):
            return await decoded(body, self.headers, self._limit)
        return body

    def head_again(self) -> bytes:
        """Return the head just parsed, without its offer of an upgrade, and forget it."""
        headers, self.headers = self.headers, {}
        return head_without_upgrade(self, self.path.encode(), headers.items())

    def on_message_begin(self) -> None:
        """Stop at a request that arrives before the previous one is answered."""
        if self.busy:
            raise _NextRequestError

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header; for one that the request has already, see ``of_both``."""
        if self.in_head:
            name, headers = name.lower(), self.headers
            headers[name] = of_both(name, headers[name], value) if name in headers else value

    def on_headers_complete(self) -> None:
        """Begin the exchange; refuse the request if it is not admitted or too large."""
        self._is_offer = self.offers_upgrade()
        if self._is_offer:
            return
        self.in_head = False
        self.can_chunk = self.get_http_version() != "1.0"
        self.keep_alive = self.can_chunk and self.should_keep_alive()
        self.exchange = Exchange.begin(self.path, self.headers)
        self.refusal = None
        refusal = self._on_head()
        if refusal is not None:
            self._refuse(refusal)
        elif content_length(self.headers) > self._limit:
            self._refuse(too_large(self._limit))
        elif self.can_chunk and self.headers.get(b"expect", b"").lower() == b"100-continue":
            self._on_expect()

    def on_body(self, data: bytes) -> None:
        """Store a piece of the body."""
        if self.busy:
            return
        self._silence = 0
        if not self._body:
            self._body = data
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += data
        if len(self._body) > self._limit:
            self._refuse(too_large(self._limit))

    def on_message_complete(self) -> None:
        """Hand the request over to be answered."""
        if self._is_offer:
            return
        self.reading = False
        if not self.busy:
            self._hand_over()

    def _refuse(self, refusal: RefusedError) -> None:
        self.refusal, self._body = refusal, b""
        self._hand_over()

    def _hand_over(self) -> None:
        self.busy = True
        self._on_request()
