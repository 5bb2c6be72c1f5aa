"""Adapter for ``/v1/messages``, Anthropic's API, which vLLM serves and coding agents use."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from tidegauge.capture.answer import AnswerParts, ParsedAnswer
from tidegauge.capture.answer_fields import kind_of
from tidegauge.capture.answer_reader import read_data
from tidegauge.capture.expectations import Expectations
from tidegauge.capture.history import id_in_metadata
from tidegauge.gateway.apis.api import (
    EventCollector,
    ParsedRequest,
    content_text,
    decode_request,
    read_sampling,
)
from tidegauge.gateway.apis.as_events import message_as_events
from tidegauge.schemas.exchange import Message

__all__ = ["Messages"]


class _Turn(msgspec.Struct):
    role: str
    content: Any = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Turn]
    system: Any = None
    stream: bool | None = None
    temperature: Any = None
    top_p: Any = None
    max_tokens: Any = None
    tools: Any = None
    metadata: Any = None


class _TextDelta(msgspec.Struct):
    type: Literal["text_delta"]
    text: str


class _Delta(msgspec.Struct):
    """An event with a part of the text, of which a stream has the most."""

    type: Literal["content_block_delta"]
    delta: _TextDelta


_request: Final = msgspec.json.Decoder(_Request, strict=False)
_delta: Final = msgspec.json.Decoder(_Delta)


def _messages(request: _Request) -> tuple[Message, ...]:
    messages = []
    if request.system:
        messages.append(Message(role="system", content=content_text(request.system)))
    for turn in request.messages:
        messages += _said(turn)
    return tuple(messages)


def _said(turn: _Turn) -> list[Message]:
    """Return the messages of a turn: results of tools, which users send, are those of the tool."""
    if not isinstance(turn.content, list):
        return [Message(role=turn.role, content=content_text(turn.content))]
    results, calls, rest = [], [], []
    for part in turn.content:
        kind = kind_of(part) if isinstance(part, dict) else None
        if kind == "tool_result":
            results.append(Message(role="tool", content=content_text(part.get("content"))))
        elif kind == "tool_use":
            call = {"id": part.get("id"), "name": part.get("name"), "arguments": part.get("input")}
            calls.append(call)
        elif kind not in {"thinking", "redacted_thinking"}:
            rest.append(part)
    if not rest and not calls and results:
        return results
    called = msgspec.json.encode(calls).decode() if calls else None
    return [*results, Message(role=turn.role, content=content_text(rest), tool_calls=called)]


def _expectations(request: _Request) -> Expectations:
    tools = request.tools if isinstance(request.tools, list) else []
    offered = [
        {
            "type": "function",
            "function": {"name": tool.get("name"), "parameters": tool.get("input_schema")},
        }
        for tool in tools
        if isinstance(tool, dict)
    ]
    return Expectations(tools=msgspec.json.encode(offered) if offered else None)


class Messages:
    """Reads Messages API requests and answers."""

    path = "/v1/messages"
    asks_for_usage = False
    error_event = b"event: error\n"

    def read(self, body: bytes) -> ParsedRequest:
        """Parse a request; see ``Api``."""
        request = decode_request(_request, body)
        return ParsedRequest(
            model=request.model,
            messages=_messages(request),
            stream=bool(request.stream),
            sampling=read_sampling(request.temperature, request.top_p, request.max_tokens),
            expectations=_expectations(request),
            conversation=id_in_metadata(request.metadata),
            metadata=request.metadata,
        )

    def answer(self, body: bytes) -> ParsedAnswer:
        """Parse a whole answer; see ``Api``."""
        parts = AnswerParts()
        read_data(body, parts)
        return parts.collected()

    def collector(self, _choices: int = 1, /) -> EventCollector:
        """Return a new collector."""
        return EventCollector(_text_of)

    def as_events(self, body: bytes, *, with_usage: bool) -> bytes:  # noqa: ARG002 - always there
        """Return a whole answer as events; see ``Api``."""
        return message_as_events(body)


def _text_of(data: bytes) -> str:
    return _delta.decode(data).delta.text
