"""Adapter for APIs that generate no text: their requests are forwarded as they are.

Of a request the model and a query are read, of an answer the usage and errors. So these routes
have latency, status and usage like the others.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from tidegauge.capture.answer import ParsedAnswer
from tidegauge.capture.answer_fields import UNREADABLE, Json, load_all, read_usage
from tidegauge.capture.answer_reader import read_facts
from tidegauge.gateway.apis.api import ChunkKind, ParsedRequest, decode_request
from tidegauge.gateway.apis.as_events import event_of
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
    object: Any = None
    type: Any = None


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
        request = decode_request(_request, body)
        query = request.query
        asked = (Message(role="user", content=query),) if isinstance(query, str) else ()
        return ParsedRequest(model=request.model, messages=asked)

    def answer(self, body: bytes) -> ParsedAnswer:
        """Parse a whole answer, which may be text or anything else; see ``Api``."""
        answer = ParsedAnswer()
        try:
            value: Any = asdict(_response.decode(body))
        except UNREADABLE:
            try:
                value = load_all(body)[0]
            except ValueError:  # a text, unless it is nothing or a page of HTML, as errors are
                value = body.strip()
                answer.absent = not value or value.startswith(b"<")
        if isinstance(value, dict):
            _read(value, answer)
        answer.absent = answer.absent or value is None
        if answer.input_tokens is not None and answer.output_tokens is None:
            answer.output_tokens = 0
        return answer

    def collector(self, _choices: int = 1, /) -> _Events:
        """Return a collector for an answer that is streamed, such as a transcription."""
        return _Events()

    def as_events(self, body: bytes, *, with_usage: bool) -> bytes:  # noqa: ARG002 - no usage apart
        """Return a whole answer as one event; see ``Api``."""
        return event_of(body)


def _read(value: Json, answer: ParsedAnswer) -> None:
    """Read the facts of an answer or an event; where only a total is told, it is the prompt's."""
    read_facts(value, answer)
    usage = value.get("usage")
    if answer.input_tokens is None and isinstance(usage, dict):
        read_usage({"prompt_tokens": usage.get("total_tokens")}, answer)


class _Events:
    """Reads usage and errors of a stream's events."""

    def __init__(self) -> None:
        self._answer = ParsedAnswer()

    def take(self, data: bytes) -> ChunkKind:
        """Add one event to the answer."""
        try:
            event = _response.decode(data)
        except UNREADABLE:
            return ChunkKind.OTHER
        _read(asdict(event), self._answer)
        return ChunkKind.PIECE

    def answer(self) -> ParsedAnswer:
        """Return the answer so far."""
        return self._answer


FORWARDED: Final = tuple(Forwarded(path) for path in _PATHS)
"""An adapter for each path."""
