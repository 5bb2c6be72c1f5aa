"""Reads an upstream's answers that are not streamed."""

from __future__ import annotations

from typing import Final

import msgspec

from tidegauge.capture.answer import CONTENT_ENCODING, ParsedAnswer, decide
from tidegauge.gateway.apis import Api
from tidegauge.gateway.errors import UpstreamAnswerError
from tidegauge.gateway.http.client import Connection
from tidegauge.gateway.http.decoding import Decoder, without_encoding
from tidegauge.gateway.proxy.relay import FrameSplitter, Headers, data_of, is_end

__all__ = ["WholeAnswer", "read_whole"]

_ERRORS: Final = 400
_UNAUTHORIZED: Final = 401
_OPENING: Final = 64


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

    def is_complete(self) -> bool:
        """Whether it is an answer, and no error or the like."""
        return decide(self.answer, self.status, None, done=True).outcome == "ok"


def read_whole(api: Api, connection: Connection, body: bytes) -> WholeAnswer:
    """Parse an answer that is not streamed, including an upstream's error.

    Args:
        api: The API of the request.
        connection: The upstream's connection; its head has arrived.
        body: The body as it was sent.

    Raises:
        UpstreamAnswerError: The upstream rejects the gateway's own key, or the body is not in
            the encoding that its headers name.
    """
    status, headers = connection.status, connection.headers
    if status == _UNAUTHORIZED:
        raise UpstreamAnswerError("the upstream refused the gateway's own API key")
    if connection.is_encoded:
        decoder = Decoder(headers)
        if not decoder.known:
            return WholeAnswer(status, headers, body, ParsedAnswer(unread=(CONTENT_ENCODING,)))
        body, headers = decoder.decode(body), without_encoding(headers)
    answer = api.answer(body) if status < _ERRORS else ParsedAnswer()
    if answer.absent and b"data:" in body[:_OPENING]:
        answer = _read_events(api, body)
    return WholeAnswer(status, headers, body, answer)


def _read_events(api: Api, body: bytes) -> ParsedAnswer:
    """Parse a stream that the upstream sends as if it were a whole answer."""
    collector = api.collector()
    splitter = FrameSplitter()
    for frame in [*splitter.feed(body), splitter.rest]:
        data = data_of(frame)
        if data is not None and not is_end(data):
            collector.take(data)
    return collector.answer()
