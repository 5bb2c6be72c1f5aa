"""Adapter for ``/v1/embeddings``: no text is generated, so only model and usage are read."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tidegauge.capture.answer import AnswerParts, ParsedAnswer
from tidegauge.capture.answer_fields import UNREADABLE, read_error, read_usage
from tidegauge.capture.answer_reader import read_data
from tidegauge.gateway.apis.api import ChunkKind, ParsedRequest, malformed
from tidegauge.gateway.apis.completions import texts
from tidegauge.schemas.exchange import Message

__all__ = ["Embeddings"]


class _Request(msgspec.Struct):
    model: str
    input: Any = ""


class _Response(msgspec.Struct):
    data: list[msgspec.Raw]
    usage: Any = None
    model: str | None = None
    error: Any = None


_request: Final = msgspec.json.Decoder(_Request, strict=False)
_response: Final = msgspec.json.Decoder(_Response)


class Embeddings:
    """Reads embedding requests and answers."""

    path = "/v1/embeddings"
    asks_for_usage = False
    error_event = b""

    def read(self, body: bytes) -> ParsedRequest:
        """Parse a request; see ``Api``."""
        try:
            request = _request.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise malformed(error) from error
        return ParsedRequest(
            model=request.model,
            messages=tuple([Message(role="user", content=text) for text in texts(request.input)]),
        )

    def answer(self, body: bytes) -> ParsedAnswer:
        """Parse a whole answer; see ``Api``."""
        parts = AnswerParts()
        try:
            response = _response.decode(body)
        except UNREADABLE:
            read_data(body, parts)
        else:
            read_usage(response.usage, parts.answer)
            read_error(response.error, parts.answer)
            parts.answer.model, parts.answer.absent = response.model, False
        answer = parts.collected()
        if answer.input_tokens is not None and answer.output_tokens is None:
            answer.output_tokens = 0
        return answer

    def collector(self, _choices: int = 1, /) -> _Collector:
        """Return a collector, in case an upstream streams all the same."""
        return _Collector()


class _Collector:
    def take(self, _data: bytes) -> ChunkKind:
        """Ignore the event."""
        return ChunkKind.OTHER

    def answer(self) -> ParsedAnswer:
        """Return an empty answer."""
        return ParsedAnswer()
