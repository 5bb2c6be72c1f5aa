"""Adapter for ``/v1/responses``: typed items in, typed items and events out."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tidegauge.gateway.apis.api import (
    ChunkKind,
    Expectations,
    ParsedAnswer,
    ParsedRequest,
    describe_part,
    malformed,
    read_sampling,
)
from tidegauge.schemas.exchange import Message, Usage

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


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Item(msgspec.Struct):
    type: str = ""
    content: list[_Part] | None = None
    name: str | None = None
    arguments: str | None = None
    call_id: str | None = None


class _Incomplete(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    output: list[_Item] = []
    usage: _Usage | None = None
    model: str | None = None
    status: str | None = None
    incomplete_details: _Incomplete | None = None


class _Event(msgspec.Struct):
    type: str = ""
    delta: Any = None
    response: _Response | None = None


_request: Final = msgspec.json.Decoder(_Request, strict=False)
_response: Final = msgspec.json.Decoder(_Response)
_event: Final = msgspec.json.Decoder(_Event)


def _messages(request: _Request) -> tuple[Message, ...]:
    messages = []
    if isinstance(request.instructions, str):
        messages.append(Message(role="system", content=request.instructions))
    items = request.input if isinstance(request.input, list) else [request.input]
    for item in items:
        if isinstance(item, str):
            messages.append(Message(role="user", content=item))
        elif isinstance(item, dict):
            messages.append(_message(item))
    return tuple(messages)


def _message(item: dict[str, Any]) -> Message:
    content = item.get("content", item.get("output", ""))
    if isinstance(content, list):
        content = "\n".join(describe_part(part) for part in content)
    role = item.get("role")
    if item.get("type") == "function_call":
        call = {"name": item.get("name"), "arguments": item.get("arguments")}
        return Message(role="assistant", tool_calls=msgspec.json.encode([call]).decode())
    if not isinstance(role, str):
        role = "tool" if item.get("type") == "function_call_output" else "user"
    return Message(role=role, content=content if isinstance(content, str) else "")


def _expectations(request: _Request) -> Expectations:
    form = request.text.get("format") if isinstance(request.text, dict) else None
    kind = form.get("type") if isinstance(form, dict) else None
    schema = form.get("schema") if isinstance(form, dict) and kind == "json_schema" else None
    tools = None
    if isinstance(request.tools, list):
        offered = [
            {"type": "function", "function": tool}
            for tool in request.tools
            if isinstance(tool, dict) and tool.get("type") == "function"
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

    def read(self, body: bytes) -> ParsedRequest:
        """Parse a request; see ``Api``."""
        try:
            request = _request.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise malformed(error) from error
        return ParsedRequest(
            model=request.model,
            messages=_messages(request),
            stream=bool(request.stream),
            sampling=read_sampling(request.temperature, request.top_p, request.max_output_tokens),
            expectations=_expectations(request),
        )

    def answer(self, body: bytes) -> ParsedAnswer:
        """Parse a whole answer; see ``Api``."""
        try:
            return _understand(_response.decode(body))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ParsedAnswer()

    def collector(self) -> _Collector:
        """Return a new collector."""
        return _Collector()


def _understand(response: _Response) -> ParsedAnswer:
    parts = [
        part for item in response.output if item.type == "message" for part in item.content or ()
    ]
    calls = [
        {"id": item.call_id, "function": {"name": item.name, "arguments": item.arguments}}
        for item in response.output
        if item.type == "function_call"
    ]
    answer = ParsedAnswer(
        text="".join(part.text or "" for part in parts),
        refusal="".join(part.refusal or "" for part in parts) or None,
        tool_calls=msgspec.json.encode(calls).decode() if calls else None,
        model=response.model,
        failed=response.status == "failed",
    )
    if response.usage is not None:
        answer.usage = Usage(
            input_tokens=response.usage.input_tokens, output_tokens=response.usage.output_tokens
        )
    answer.finish_reason = _finish_reason(response, tool_called=bool(calls))
    return answer


def _finish_reason(response: _Response, *, tool_called: bool) -> str | None:
    """Return the finish reason in the chat API's terms."""
    if response.status == "incomplete":
        details = response.incomplete_details
        reason = details.reason if details else None
        return "length" if reason == "max_output_tokens" else reason
    if response.status == "completed":
        return "tool_calls" if tool_called else "stop"
    return None


class _Collector:
    """Assembles a streamed response; its last event repeats the whole answer."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._whole: ParsedAnswer | None = None

    def take(self, data: bytes) -> ChunkKind:
        """Add one event to the answer."""
        try:
            event = _event.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ChunkKind.OTHER
        if event.type.endswith(".delta"):
            if event.type == "response.output_text.delta" and isinstance(event.delta, str):
                self._texts.append(event.delta)
            return ChunkKind.PIECE if event.delta else ChunkKind.OTHER
        if event.type in ("response.completed", "response.incomplete", "response.failed"):
            self._whole = _understand(event.response) if event.response else self._whole
        if event.type == "error":
            self._whole = ParsedAnswer(text="".join(self._texts), failed=True)
        return ChunkKind.OTHER

    def answer(self) -> ParsedAnswer:
        """Return the answer so far."""
        return self._whole or ParsedAnswer(text="".join(self._texts))
