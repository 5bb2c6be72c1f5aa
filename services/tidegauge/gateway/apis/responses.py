"""Adapter for ``/v1/responses``: typed items in, typed items and events out."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from tidegauge.capture.answer import AnswerParts, ParsedAnswer
from tidegauge.capture.answer_fields import kind_of
from tidegauge.capture.answer_reader import read_data
from tidegauge.capture.history import given_id, id_in_metadata
from tidegauge.gateway.apis.api import (
    EventCollector,
    Expectations,
    ParsedRequest,
    content_text,
    decode_request,
    read_sampling,
)
from tidegauge.gateway.apis.as_events import response_as_events
from tidegauge.schemas.exchange import Message

__all__ = ["Responses"]


class _Request(msgspec.Struct):
    model: str
    input: Any = ""
    instructions: Any = None
    stream: bool | None = None
    temperature: Any = None
    top_p: Any = None
    max_output_tokens: Any = None
    text: Any = None
    tools: Any = None
    metadata: Any = None
    litellm_session_id: Any = None
    conversation: Any = None
    previous_response_id: Any = None


class _Delta(msgspec.Struct):
    """An event with a part of the text, of which a stream has the most."""

    type: Literal["response.output_text.delta"]
    delta: str


_request: Final = msgspec.json.Decoder(_Request, strict=False)
_delta: Final = msgspec.json.Decoder(_Delta)


def _messages(request: _Request) -> tuple[Message, ...]:
    messages = []
    if isinstance(request.instructions, str):
        messages.append(Message(role="system", content=request.instructions))
    items = request.input if isinstance(request.input, list) else [request.input]
    for item in items:
        if isinstance(item, str):
            messages.append(Message(role="user", content=item))
        elif isinstance(item, dict) and (message := _message(item)) is not None:
            messages.append(message)
    return tuple(messages)


def _message(item: dict[str, Any]) -> Message | None:
    """Return an item of the conversation as a message; None for one that is not said by anyone.

    Such are the model's reasoning, references to earlier items, and calls of tools that the
    server runs itself. What tools return is a message of the tool.
    """
    kind, role = kind_of(item), item.get("role")
    if kind in {"message", None} and isinstance(role, str):
        return Message(role=role, content=content_text(item.get("content")))
    if kind in {"function_call", "custom_tool_call"}:
        arguments = item.get("arguments", item.get("input"))
        call = {"id": item.get("call_id"), "name": item.get("name"), "arguments": arguments}
        return Message(role="assistant", tool_calls=msgspec.json.encode([call]).decode())
    if isinstance(kind, str) and kind.endswith("_output"):
        return Message(role="tool", content=content_text(item.get("output")))
    return None


def _conversation(request: _Request) -> str | None:
    """Return the id of the conversation in the request; None if there is none."""
    known = request.conversation
    if isinstance(known, dict):
        known = known.get("id")
    return (
        given_id(known) or given_id(request.litellm_session_id) or id_in_metadata(request.metadata)
    )


def _expectations(request: _Request) -> Expectations:
    form = request.text.get("format") if isinstance(request.text, dict) else None
    kind = form.get("type") if isinstance(form, dict) else None
    schema = form.get("schema") if isinstance(form, dict) and kind == "json_schema" else None
    tools = None
    if isinstance(request.tools, list):
        offered = [
            {"type": tool["type"], tool["type"]: tool}
            for tool in request.tools
            if isinstance(tool, dict) and kind_of(tool) in {"function", "custom"}
        ]
        tools = msgspec.json.encode(offered) if offered else None
    return Expectations(
        json_object=kind == "json_object",
        json_schema=None if schema is None else msgspec.json.encode(schema),
        tools=tools,
    )


class Responses:
    """Reads Responses API requests and answers."""

    path = "/v1/responses"
    asks_for_usage = False
    error_event = b""

    def read(self, body: bytes) -> ParsedRequest:
        """Parse a request; see ``Api``."""
        request = decode_request(_request, body)
        return ParsedRequest(
            model=request.model,
            messages=_messages(request),
            stream=bool(request.stream),
            sampling=read_sampling(request.temperature, request.top_p, request.max_output_tokens),
            expectations=_expectations(request),
            conversation=_conversation(request),
            metadata=request.metadata,
            predecessor=given_id(request.previous_response_id),
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
        return response_as_events(body)


def _text_of(data: bytes) -> str:
    return _delta.decode(data).delta
