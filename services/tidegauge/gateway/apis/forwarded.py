"""Adapter for APIs that generate no text: their requests are forwarded as they are.

Of a request the model and a query are read, of an answer the usage and errors. So these routes
have latency, status and usage like the others.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tidegauge.capture.answer import AnswerParts, ParsedAnswer
from tidegauge.capture.answer_fields import read_error, read_usage
from tidegauge.gateway.apis.api import ChunkKind, ParsedRequest, malformed
from tidegauge.gateway.errors import RefusedError
from tidegauge.gateway.multipart import is_multipart, read_field
from tidegauge.schemas.exchange import ErrorKind, Message

__all__ = ["FORWARDED", "Forwarded"]

_PATHS: Final = (
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/messages/count_tokens",
    "/v1/moderations",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/v1/score",
    "/score",
    "/classify",
    "/pooling",
    "/tokenize",
    "/detokenize",
)


class _Request(msgspec.Struct):
    model: str = ""
    query: Any = None


class _Response(msgspec.Struct):
    usage: Any = None
    model: Any = None
    error: Any = None


_request: Final = msgspec.json.Decoder(_Request)
_response: Final = msgspec.json.Decoder(_Response)


class Forwarded:
    """Reads requests and answers of one path.

    Attributes:
        path: The path.
        asks_for_usage: See ``Api``.
        error_event: See ``Api``.
    """

    asks_for_usage = False
    error_event = b""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, body: bytes) -> ParsedRequest:
        """Parse a request, JSON or multipart, perhaps without a model; see ``Api``."""
        if is_multipart(body):
            model = read_field(body, "model")
            if model is None:
                raise RefusedError(
                    ErrorKind.INVALID_REQUEST,
                    "the form has no field `model`, or more than one",
                    code="invalid_value",
                    param="model",
                )
            return ParsedRequest(model=model, messages=())
        try:
            request = _request.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise malformed(error) from error
        query = request.query
        asked = (Message(role="user", content=query),) if isinstance(query, str) else ()
        return ParsedRequest(model=request.model, messages=asked)

    def answer(self, body: bytes) -> ParsedAnswer:
        """Parse a whole answer, which may be text or anything else; see ``Api``."""
        parts = AnswerParts()
        try:
            response = _response.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            parts.answer.absent = not body or body.lstrip().startswith(b"<")  # as errors are
            return parts.collected()
        usage = response.usage
        read_usage(usage, parts.answer)
        read_error(response.error, parts.answer)
        answer = parts.collected()
        answer.absent = False
        answer.model = response.model if isinstance(response.model, str) else None
        if answer.input_tokens is None and isinstance(usage, dict):
            total = usage.get("total_tokens")
            answer.input_tokens = total if isinstance(total, int) and 0 <= total < 1 << 53 else None
        if answer.input_tokens is not None and answer.output_tokens is None:
            answer.output_tokens = 0
        return answer

    def collector(self, _choices: int = 1, /) -> _Events:
        """Return a collector for an answer that is streamed, such as a transcription."""
        return _Events()


class _Events:
    """Reads usage and errors of a stream's events."""

    def __init__(self) -> None:
        self._parts = AnswerParts()

    def take(self, data: bytes) -> ChunkKind:
        """Add one event to the answer."""
        try:
            event = _response.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return ChunkKind.OTHER
        read_usage(event.usage, self._parts.answer)
        read_error(event.error, self._parts.answer)
        return ChunkKind.PIECE

    def answer(self) -> ParsedAnswer:
        """Return the answer so far."""
        answer = self._parts.collected()
        answer.absent = False
        return answer


FORWARDED: Final = tuple(Forwarded(path) for path in _PATHS)
"""An adapter for each path."""
