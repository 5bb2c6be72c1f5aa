"""Adapter for ``/v1/chat/completions``."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tidegauge.gateway.apis.api import (
    NOTHING_EXPECTED,
    ChunkKind,
    Expectations,
    ParsedAnswer,
    ParsedRequest,
    describe_part,
    malformed,
    number,
    present,
    read_sampling,
)
from tidegauge.schemas.exchange import Message, Sampling, Usage

__all__ = [
    "AnswerFields",
    "Chat",
    "ChatCollector",
    "StreamOptions",
    "UsageFields",
    "expectations",
    "sampling",
]


class _Message(msgspec.Struct):
    role: str
    content: Any = None
    tool_calls: msgspec.Raw = msgspec.Raw()


class StreamOptions(msgspec.Struct):
    """The request field ``stream_options``."""

    include_usage: bool | None = None


class _StructuredOutputs(msgspec.Struct):
    json: Any = None


class _Request(msgspec.Struct):
    model: str
    messages: list[_Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Any = None
    top_p: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    seed: Any = None
    n: Any = None
    response_format: Any = None
    structured_outputs: Any = None
    tools: msgspec.Raw = msgspec.Raw()


class UsageFields(msgspec.Struct):
    """The answer field ``usage`` of chat and completions."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0

    def as_usage(self) -> Usage:
        """Return the usage as events carry it."""
        return Usage(input_tokens=self.prompt_tokens, output_tokens=self.completion_tokens or 0)


class AnswerFields(msgspec.Struct):
    """The fields of an answer, or of one stream event, that chat and completions share.

    vLLM sends ``metrics`` with ``--enable-per-request-metrics``.
    """

    usage: UsageFields | None = None
    model: str | None = None
    system_fingerprint: str | None = None
    error: msgspec.Raw = msgspec.Raw()
    metrics: Any = None

    def answer(self) -> ParsedAnswer:
        """Return the answer without the fields from its choices."""
        usage = None if self.usage is None else self.usage.as_usage()
        return ParsedAnswer(
            model=self.model,
            fingerprint=self.system_fingerprint,
            usage=usage,
            queue_ms=_queue_ms(self.metrics),
        )

    def tell(self, answer: ParsedAnswer, *, choices: bool) -> ChunkKind:
        """Add the shared fields of one stream event to an answer.

        Args:
            answer: The answer so far.
            choices: Whether the event has choices.

        Returns:
            The event's kind, apart from its choices.
        """
        if self.usage is not None:
            answer.usage = self.usage.as_usage()
        if self.metrics is not None:
            answer.queue_ms = _queue_ms(self.metrics)
        if choices:
            if answer.model is None:
                answer.model, answer.fingerprint = self.model, self.system_fingerprint
            return ChunkKind.OTHER
        if self.error and present(self.error) is not None:
            answer.failed = True
        return ChunkKind.OTHER if self.usage is None else ChunkKind.USAGE


def _queue_ms(metrics: Any) -> float | None:  # noqa: ANN401 - any JSON
    return number(metrics.get("queue_time_ms")) if isinstance(metrics, dict) else None


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int = 0
    id: str | None = None
    function: _Function | None = None


class _Reply(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Reply | None = None
    delta: _Reply | None = None
    finish_reason: str | None = None


class _Response(AnswerFields):
    choices: list[_Choice] = []


_request: Final = msgspec.json.Decoder(_Request, strict=False)
_response: Final = msgspec.json.Decoder(_Response)


def sampling(request: Any) -> Sampling:  # noqa: ANN401 - the request structs of two APIs
    """Return the sampling parameters of a chat or completions request."""
    limit = getattr(request, "max_completion_tokens", None)
    form = request.response_format
    return read_sampling(
        request.temperature,
        request.top_p,
        limit if limit is not None else request.max_tokens,
        request.seed,
        request.n,
        None if form is None else _form_name(form),
    )


_FORMS: Final = ("text", "json_object", "json_schema", "structural_tag")


def _form_name(form: Any) -> str | None:  # noqa: ANN401 - any JSON
    name = form.get("type") if isinstance(form, dict) else None
    return name if name in _FORMS else None


def expectations(form: Any, structured: Any, tools: bytes | None) -> Expectations:  # noqa: ANN401
    """Return the form that the answer must have.

    Args:
        form: ``response_format``, any JSON.
        structured: vLLM's ``structured_outputs``, any JSON.
        tools: ``tools`` as JSON text.
    """
    if form is None and structured is None and tools is None:
        return NOTHING_EXPECTED
    schema: Any = None
    kind = _form_name(form)
    if kind == "json_schema" and isinstance(form.get("json_schema"), dict):
        schema = form["json_schema"].get("schema")
    if isinstance(structured, dict) and structured.get("json") is not None:
        schema = structured["json"]
    if isinstance(schema, str):
        encoded: bytes | None = schema.encode()
    else:
        encoded = None if schema is None else msgspec.json.encode(schema)
    return Expectations(json_object=kind == "json_object", json_schema=encoded, tools=tools)


def as_message(message: _Message) -> Message:
    """Return a message as events carry it."""
    content = message.content
    if not isinstance(content, str):
        parts = content if isinstance(content, list) else ()
        content = "\n".join(describe_part(part) for part in parts)
    calls = present(message.tool_calls) if message.tool_calls else None
    if calls is None:
        return Message(role=message.role, content=content)
    return Message(role=message.role, content=content, tool_calls=calls.decode("utf-8", "replace"))


class Chat:
    """Reads chat requests and answers."""

    path = "/v1/chat/completions"
    asks_for_usage = True

    def read(self, body: bytes) -> ParsedRequest:
        """Parse a request; see ``Api``."""
        try:
            request = _request.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise malformed(error) from error
        options = request.stream_options
        tools = present(request.tools) if request.tools else None
        sampled = sampling(request)
        return ParsedRequest(
            model=request.model,
            messages=tuple([as_message(message) for message in request.messages]),
            stream=bool(request.stream),
            usage_wanted=bool(options and options.include_usage),
            sampling=sampled,
            choices=max(1, sampled.n or 1),
            expectations=expectations(request.response_format, request.structured_outputs, tools),
        )

    def answer(self, body: bytes) -> ParsedAnswer:
        """Parse a whole answer; see ``Api``."""
        try:
            response = _response.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ParsedAnswer()
        answer = response.answer()
        for choice in response.choices:
            if choice.index == 0:
                answer.finish_reason = choice.finish_reason
                if choice.message is not None:
                    answer.text = choice.message.content or ""
                    answer.refusal = choice.message.refusal
                    answer.tool_calls = _calls(choice.message.tool_calls)
                break
        return answer

    def collector(self) -> ChatCollector:
        """Return a new collector."""
        return ChatCollector()


def _calls(calls: list[_ToolCall] | None) -> str | None:
    return msgspec.json.encode(calls).decode() if calls else None


class ChatCollector:
    """Assembles a streamed chat answer."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._calls: dict[int, _ToolCall] = {}
        self._answer = ParsedAnswer()

    def take(self, data: bytes) -> ChunkKind:
        """Add one event to the answer."""
        try:
            chunk = _response.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ChunkKind.OTHER
        seen = chunk.tell(self._answer, choices=bool(chunk.choices))
        for choice in chunk.choices:
            if choice.index == 0 and choice.finish_reason is not None:
                self._answer.finish_reason = choice.finish_reason
            if choice.delta is not None and self._add(choice.delta, first=choice.index == 0):
                seen = ChunkKind.PIECE
        return seen

    def _add(self, delta: _Reply, *, first: bool) -> bool:
        if first:
            if delta.content:
                self._texts.append(delta.content)
            if delta.refusal:
                self._refusals.append(delta.refusal)
            for call in delta.tool_calls or ():
                self._add_call(call)
        return bool(
            delta.content
            or delta.reasoning_content
            or delta.reasoning
            or delta.tool_calls
            or delta.refusal
        )

    def _add_call(self, piece: _ToolCall) -> None:
        call = self._calls.setdefault(piece.index, _ToolCall(index=piece.index))
        call.id = call.id or piece.id
        if piece.function is not None:
            whole_call = call.function or _Function()
            whole_call.name = whole_call.name or piece.function.name
            whole_call.arguments = (whole_call.arguments or "") + (piece.function.arguments or "")
            call.function = whole_call

    def answer(self) -> ParsedAnswer:
        """Return the answer so far."""
        self._answer.text = "".join(self._texts)
        self._answer.refusal = "".join(self._refusals) or None
        self._answer.tool_calls = _calls([self._calls[index] for index in sorted(self._calls)])
        return self._answer
