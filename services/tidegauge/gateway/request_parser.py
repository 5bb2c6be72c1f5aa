"""A parser of requests that stays with HTTP/1.1, whatever else a client offers to speak.

RFC 9110, section 7.8, lets a server ignore ``Upgrade``. The JDK's client and ``curl --http2``
offer HTTP/2 with every request in clear text and expect an answer either way. httptools takes
such a request to end with its head, and reports where in the data that was; the body that
follows would be read as another request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

__all__ = ["AsgiProtocol", "RequestParser", "head_without_upgrade"]


class _Reader(Protocol):
    def head_again(self) -> bytes:
        """Return the head just parsed, without the offer."""


class RequestParser(httptools.HttpRequestParser):
    """Parses the head of a request that offers an upgrade twice, the second time without it.

    Callbacks for the first time have to be ignored, which ``offers_upgrade`` tells.

    Args:
        reader: Has httptools' callbacks and ``head_again``.
    """

    def __init__(self, reader: _Reader) -> None:
        super().__init__(reader)
        self._head_again = reader.head_again

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # nobody has others
        """Parse data.

        Raises:
            httptools.HttpParserError: They are no HTTP.
            httptools.HttpParserUpgrade: They are a ``CONNECT``, after which comes no HTTP.
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
        """Whether the head just parsed will be parsed again, without its offer of an upgrade."""
        return bool(self.should_upgrade()) and self.get_method() != b"CONNECT"


def head_without_upgrade(
    parser: RequestParser, target: bytes, headers: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """Return the head of the request that a parser has just read, without ``Upgrade``.

    Args:
        parser: Knows the method and the version.
        target: The request's target.
        headers: Its headers, with names in lower case.
    """
    version = parser.get_http_version().encode()
    lines = [b"%b %b HTTP/%b" % (parser.get_method(), target, version)]
    lines += [b"%b: %b" % header for header in headers if header[0] != b"upgrade"]
    return b"\r\n".join([*lines, b"\r\n"])


class AsgiProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with the same parser: it loses the bytes that follow such a head."""

    parser: RequestParser

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take what uvicorn's protocol takes."""
        super().__init__(config, server_state, app_state, _loop)
        self.parser = RequestParser(self)
        # As uvicorn has it: an answer to the first of two requests, though it closes.
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
