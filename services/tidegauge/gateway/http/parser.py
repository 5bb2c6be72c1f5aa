"""Parses HTTP/1.1 requests and ignores offers to upgrade to another protocol.

RFC 9110, section 7.8, lets a server ignore ``Upgrade``. The JDK's client and ``curl --http2``
offer HTTP/2 with every cleartext request and accept an HTTP/1.1 answer. httptools treats such a
request as ended after its head and reports the offset in the data; the body that follows would
be parsed as another request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from tidegauge.gateway.errors import RefusedError, too_large
from tidegauge.gateway.exchange import Exchange

__all__ = [
    "AsgiProtocol",
    "RequestParser",
    "RequestReader",
    "content_length",
    "head_without_upgrade",
]

_LONGEST_LENGTH: Final = 20
_LONGEST_HEAD: Final = 64 * 1024


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


def content_length(headers: Mapping[bytes, bytes]) -> int:
    """Return the value of ``content-length``; 0 if it is missing or invalid."""
    text = headers.get(b"content-length", b"")
    return int(text) if text.isdigit() and len(text) < _LONGEST_LENGTH else 0


class RequestReader(RequestParser):
    """Reads the requests of one connection, one at a time.

    A request that arrives before the previous one is answered is not read; clients that
    pipeline must expect the connection to be closed and send the request again.

    Attributes:
        exchange: The exchange that began with the last request's head.
        headers: The last request's headers, names in lower case.
        path: The last request's path.
        refusal: Why the last request is refused before its end; None if it is not.
        keep_alive: Whether the client keeps the connection.
        reading: Whether a request has begun and not ended.
        busy: Whether a request has been read and not yet answered; reset it after the answer.
        pipelined: Whether data arrived before the last answer.

    Args:
        on_request: Called when a request has been read or is refused.
        on_expect: Called when the client waits for ``100 Continue``.
    """

    def __init__(self, on_request: Callable[[], None], on_expect: Callable[[], None]) -> None:
        super().__init__(self)
        self._on_request = on_request
        self._on_expect = on_expect
        self.exchange: Exchange | None = None
        self.headers: dict[bytes, bytes] = {}
        self.path = ""
        self.refusal: RefusedError | None = None
        self.keep_alive = self.reading = self.busy = self.pipelined = False
        self._in_head = False
        self._body: list[bytes] = []
        self._size = 0
        self._limit = 0

    def begin(self, path: str, limit: int) -> None:
        """Begin a request.

        Args:
            path: The request's path.
            limit: Longest body in bytes.
        """
        self.path, self._limit = path, limit
        self.reading = self._in_head = True
        self.headers, self._body, self._size = {}, [], 0

    def read(self, data: bytes) -> bool:
        """Parse further data; return whether they are HTTP with a head of at most 64 KiB."""
        try:
            self.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        if self._in_head:
            self._size += len(data)
        return not self._in_head or self._size <= _LONGEST_HEAD

    async def read_body(self) -> bytes:
        """Return the last request's body, which has been read already.

        Raises:
            RefusedError: The body is too long.
        """
        if self.refusal is not None:
            raise self.refusal
        return self._body[0] if len(self._body) == 1 else b"".join(self._body)

    def head_again(self) -> bytes:
        """Return the head just parsed, without its offer of an upgrade."""
        return head_without_upgrade(self, self.path.encode(), self.headers.items())

    def on_message_begin(self) -> None:
        """Mark a request that arrives before the previous one is answered as pipelined."""
        self.pipelined = self.busy

    def on_header(self, name: bytes, value: bytes) -> None:
        """Store a header."""
        if not self.pipelined:
            self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Begin the exchange; refuse the request if its ``content-length`` is too large."""
        if self.pipelined or self.offers_upgrade():
            return
        self._in_head, self._size = False, 0
        self.keep_alive = self.should_keep_alive()
        self.exchange = Exchange.begin(self.path, self.headers)
        self.refusal = None
        if content_length(self.headers) > self._limit:
            self._refuse()
        elif self.headers.get(b"expect", b"").lower() == b"100-continue":
            self._on_expect()

    def on_body(self, data: bytes) -> None:
        """Store a piece of the body."""
        if not self.busy:
            self._body.append(data)
            self._size += len(data)
            if self._size > self._limit:
                self._refuse()

    def on_message_complete(self) -> None:
        """Hand the request over to be answered."""
        if self.offers_upgrade():
            return
        self.reading = False
        if not self.busy:
            self._hand_over()

    def _refuse(self) -> None:
        self.refusal = too_large(self._limit)
        self._hand_over()

    def _hand_over(self) -> None:
        self.busy = True
        self._on_request()


class AsgiProtocol(HttpToolsProtocol):
    """uvicorn's protocol with ``RequestParser``; its own loses what follows an upgrade's head."""

    parser: RequestParser

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Create the protocol with the arguments of uvicorn's protocol."""
        super().__init__(config, server_state, app_state, _loop)
        self.parser = RequestParser(self)
        # As in uvicorn: data after a request with ``connection: close`` are no error.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def head_again(self) -> bytes:
        """Return the head just parsed, without its offer of an upgrade."""
        return head_without_upgrade(self.parser, self.url, self.headers)

    def on_headers_complete(self) -> None:
        """Begin a request, unless its head will be parsed again."""
        if not self.parser.offers_upgrade():
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request, unless its head will be parsed again."""
        if not self.parser.offers_upgrade():
            super().on_message_complete()
