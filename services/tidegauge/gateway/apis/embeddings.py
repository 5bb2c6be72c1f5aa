"""Adapter for ``/v1/embeddings``: no text is generated, so only model and usage are read."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import asdict

from tidegauge.capture.answer import ParsedAnswer
from tidegauge.capture.answer_fields import UNREADABLE, Json, load_all
from tidegauge.capture.answer_reader import read_facts
from tidegauge.gateway.apis.api import ChunkKind, ParsedRequest, decode_request
from tidegauge.gateway.apis.as_events import event_of
from tidegauge.gateway.apis.completions import texts
from tidegauge.schemas.exchange import Message

__all__ = ["Embeddings"]


class _Request(msgspec.Struct):
    model: str
    input: Any = ""


class _Response(msgspec.Struct):
    data: list[msgspec.Raw]
    usage: Any = None
    model: Any = None
    error: Any = None
    object: Any = None


_request: Final = msgspec.json.Decoder(_Request, strict=False)
_response: Final = msgspec.json.Decoder(_Response)


class Embeddings:
    """Reads embedding requests and answers."""

    path = "/v1/embeddings"
    asks_for_usage = False
    error_event = b""

    def read(self, body: bytes) -> ParsedRequest:
        """Parse a request; see ``Api``."""
        request = decode_request(_request, body)
        return ParsedRequest(
            model=request.model,
            messages=tuple([Message(role="user", content=text) for text in texts(request.input)]),
        )

    def answer(self, body: bytes) -> ParsedAnswer:
        """Parse a whole answer; see ``Api``."""
        answer = ParsedAnswer(absent=True)
        try:
            value: Json = asdict(_response.decode(body))
        except UNREADABLE:
            value = _odd(body, answer)
        read_facts(value, answer)
        answer.absent = not value.get("data")
        if answer.input_tokens is not None and answer.output_tokens is None:
            answer.output_tokens = 0
        return answer

    def collector(self, _choices: int = 1, /) -> _Collector:
        """Return a collector, in case an upstream streams all the same."""
        return _Collector()

    def as_events(self, body: bytes, *, with_usage: bool) -> bytes:  # noqa: ARG002 - no usage apart
        """Return a whole answer as one event; see ``Api``."""
        return event_of(body)


def _odd(body: bytes, answer: ParsedAnswer) -> Json:
    """Return an answer that is not quite JSON, or not quite an embedding."""
    try:
        found = load_all(body)[0]
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    answer.leave_unread("answer")
    return {}


class _Collector:
    def take(self, _data: bytes) -> ChunkKind:
        """Ignore the event."""
        return ChunkKind.OTHER

    def answer(self) -> ParsedAnswer:
        """Return an empty answer."""
        return ParsedAnswer()
