"""Adapter for ``/v1/chat/completions``."""

from __future__ import annotations

from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec

from tidegauge.capture.answer import AnswerParts, ParsedAnswer
from tidegauge.capture.answer_fields import MOST_TOKENS, UNREADABLE, read_metrics
from tidegauge.capture.answer_reader import read_data
from tidegauge.capture.expectations import NOTHING_EXPECTED, expectations, form_name
from tidegauge.capture.history import given_id, id_in_metadata
from tidegauge.gateway.apis.api import (
    LARGEST_NUMBER,
    LARGEST_WHOLE,
    ChunkKind,
    ParsedRequest,
    content_text,
    malformed,
    present,
    read_sampling,
)
from tidegauge.gateway.apis.as_events import choices_as_events
from tidegauge.schemas.exchange import Message, Sampling

__all__ = ["Chat", "ChoicesCollector", "StreamOptions", "read_choices", "sampling"]


_LONGEST_NAME: Final = 200
_SEVERAL: Final = 2


class _Message(msgspec.Struct):
    role: str
    content: Any = None
    tool_calls: msgspec.Raw = msgspec.Raw()


M = TypeVar("M", tuple[Message, ...], list[_Message])
R = TypeVar("R")
W = TypeVar("W")


class StreamOptions(msgspec.Struct):
    """The request field ``stream_options``."""

    include_usage: bool | None = None


class _Request(msgspec.Struct, Generic[M, R, W]):
    model: str
    messages: M
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: R | None = None
    top_p: R | None = None
    max_tokens: W | None = None
    max_completion_tokens: W | None = None
    seed: W | None = None
    n: W | None = None
    response_format: Any = None
    structured_outputs: Any = None
    tools: msgspec.Raw = msgspec.Raw()
    functions: msgspec.Raw = msgspec.Raw()
    metadata: Any = None
    litellm_session_id: Any = None


# The structs of answers hold only what is usual. A field of type None must be absent or null: an
# answer with anything in it is read fact by fact instead.
_Name = Annotated[str, msgspec.Meta(max_length=_LONGEST_NAME)]
_Tokens = Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]


class _PromptDetails(msgspec.Struct, gc=False):
    cached_tokens: _Tokens | None = None
    cache_read_input_tokens: None = None
    prompt_cache_hit_tokens: None = None


class _OutputDetails(msgspec.Struct, gc=False):
    reasoning_tokens: _Tokens | None = None


class _Usage(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    prompt_tokens: _Tokens
    completion_tokens: _Tokens
    total_tokens: Any = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _OutputDetails | None = None

    def tell(self, answer: ParsedAnswer) -> None:
        """Set an answer's tokens; those of details that cannot be are left out."""
        # Some servers end a stream with an event of zeros, which tells nothing.
        answer.input_tokens = self.prompt_tokens or answer.input_tokens or 0
        answer.output_tokens = self.completion_tokens or answer.output_tokens or 0
        if self.prompt_tokens_details is not None:
            cached = self.prompt_tokens_details.cached_tokens
            if cached is not None and cached <= self.prompt_tokens:
                answer.cached_tokens = cached
        if self.completion_tokens_details is not None:
            reasoning = self.completion_tokens_details.reasoning_tokens
            if reasoning is not None and reasoning <= self.completion_tokens:
                answer.reasoning_tokens = reasoning


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None
    input: None = None
    parameters: None = None


class _ToolCall(msgspec.Struct, gc=False):
    function: _Function
    index: int | None = None
    id: str | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None
    refusal: None = None
    function_call: None = None
    audio: None = None
    images: None = None
    videos: None = None
    error: None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    message: _Delta | None = None
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    error: None = None
    usage: None = None
    finish_reason_of_others: None = msgspec.field(default=None, name="finishReason")


class _Response(msgspec.Struct, gc=False):
    """An answer, or one event of a stream, of chat and of completions."""

    choices: list[_Choice] = []
    usage: _Usage | None = None
    model: _Name | None = None
    system_fingerprint: _Name | None = None
    error: None = None
    metrics: Any = None
    x_groq: None = None


_Real = Annotated[float, msgspec.Meta(gt=-LARGEST_NUMBER, lt=LARGEST_NUMBER)]
_Whole = Annotated[int, msgspec.Meta(ge=-LARGEST_WHOLE, le=LARGEST_WHOLE)]
_plain: Final = msgspec.json.Decoder(_Request[tuple[Message, ...], _Real, _Whole])
_request: Final = msgspec.json.Decoder(_Request[list[_Message], Any, Any], strict=False)
_functions: Final = msgspec.json.Decoder(list[msgspec.Raw])
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
        None if form is None else form_name(form),
    )


def as_message(message: _Message) -> Message:
    """Return a message as events carry it."""
    content = message.content
    if not isinstance(content, str):
        content = content_text(content)
    if not message.tool_calls or (calls := present(message.tool_calls)) is None:
        return Message(role=message.role, content=content)
    return Message(role=message.role, content=content, tool_calls=calls.decode("utf-8", "replace"))


def _tools_of(functions: bytes | None) -> bytes | None:
    """Return the legacy field ``functions`` in the form of ``tools``; None if it has no form."""
    try:
        listed = _functions.decode(functions or b"null")
    except UNREADABLE:
        return None
    return msgspec.json.encode([{"type": "function", "function": each} for each in listed])


def _read(body: bytes) -> tuple[_Request[Any, Any, Any], tuple[Message, ...], Sampling]:
    """Decode a request, a usual one directly into what events carry of it.

    Its messages are plain text, and its sampling parameters numbers of usable size.

    Raises:
        RefusedError: The body is not JSON, or a field is wrong.
    """
    try:
        plain = _plain.decode(body)
    except UNREADABLE:
        pass  # other messages have parts, tool calls or no content, mostly from the first ones on
    else:
        limit, form = plain.max_completion_tokens, plain.response_format
        return (
            plain,
            plain.messages,
            Sampling(
                temperature=plain.temperature,
                top_p=plain.top_p,
                max_tokens=plain.max_tokens if limit is None else limit,
                seed=plain.seed,
                n=plain.n,
                response_format=None if form is None else form_name(form),
            ),
        )
    try:
        request = _request.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(error) from error
    messages = tuple([as_message(message) for message in request.messages])
    return request, messages, sampling(request)


class Chat:
    """Reads chat requests and answers."""

    path = "/v1/chat/completions"
    asks_for_usage = True
    error_event = b""

    def read(self, body: bytes) -> ParsedRequest:
        """Parse a request; see ``Api``."""
        request, messages, sampled = _read(body)
        options = request.stream_options
        tools = present(request.tools) if request.tools else None
        if tools is None and request.functions:
            tools = _tools_of(present(request.functions))
        form, structured = request.response_format, request.structured_outputs
        is_plain = form is None and structured is None and tools is None
        session, metadata = request.litellm_session_id, request.metadata
        conversation = None
        if session is not None or metadata is not None:
            conversation = given_id(session) or id_in_metadata(metadata)
        return ParsedRequest(
            model=request.model,
            messages=messages,
            stream=bool(request.stream),
            usage_wanted=bool(options and options.include_usage),
            sampling=sampled,
            choices=max(1, sampled.n or 1),
            expectations=NOTHING_EXPECTED if is_plain else expectations(form, structured, tools),
            conversation=conversation,
            metadata=metadata,
        )

    def answer(self, body: bytes) -> ParsedAnswer:
        """Parse a whole answer; see ``Api``."""
        return read_choices(body)

    def collector(self, choices: int = 1, /) -> ChoicesCollector:
        """Return a new collector."""
        return ChoicesCollector(choices)

    def as_events(self, body: bytes, *, with_usage: bool) -> bytes:
        """Return a whole answer as events; see ``Api``."""
        return choices_as_events(body, with_usage=with_usage)


def read_choices(body: bytes) -> ParsedAnswer:
    """Parse a whole answer of chat or of completions."""
    answer = _one_text(body)
    if answer is None:
        collector = ChoicesCollector(_SEVERAL)
        collector.take(body)
        answer = collector.answer()
    return answer


def _one_text(body: bytes) -> ParsedAnswer | None:
    """Return a usual answer with one text and nothing else; None for any other."""
    try:
        event = _response.decode(body)
    except UNREADABLE:
        return None
    if len(event.choices) != 1:
        return None
    choice = event.choices[0]
    message = choice.message
    text = choice.text if message is None else message.content
    if text is None or (message is not None and message.tool_calls):
        return None
    answer = ParsedAnswer(
        text=text,
        finish_reason=_reason(choice),
        generated=True,
        model=event.model,
        fingerprint=event.system_fingerprint,
    )
    if event.usage is not None:
        event.usage.tell(answer)
    if event.metrics is not None:
        read_metrics(event.metrics, answer)
    return answer


def _reason(choice: _Choice) -> str | None:
    """Return the finish reason; empty ones, which some servers put into every event, are none."""
    reason = choice.finish_reason
    return None if not reason or reason == "null" else reason[:_LONGEST_NAME]


class ChoicesCollector:
    """Reads answers that have choices, of chat and of completions, whole or streamed.

    Usual answers and events are decoded into the structs above. Anything else is read fact by
    fact; see ``answer_reader``.

    Args:
        choices: The number of choices. Of several, the first one is read; where there is one,
            its parts belong together whatever index a server gives them.
    """

    def __init__(self, choices: int) -> None:
        self._parts = AnswerParts(single=choices == 1)

    def take(self, data: bytes) -> ChunkKind:
        """Add one event, or a whole answer."""
        try:
            event = _response.decode(data)
        except UNREADABLE:
            return self._take_other(None, data)
        choices, parts = event.choices, self._parts
        if len(choices) != 1:
            return self._take_other(event, data)
        choice = choices[0]
        delta = choice.delta
        if delta is None or choice.index != parts.choice or delta.tool_calls is not None:
            return self._take_other(event, data)
        answer = parts.answer
        if answer.model is None:
            answer.model, answer.fingerprint = event.model, event.system_fingerprint
        if event.usage is not None:
            event.usage.tell(answer)
        if event.metrics is not None:
            read_metrics(event.metrics, answer)
        if choice.finish_reason:
            answer.finish_reason = _reason(choice)
        text = delta.content
        if text:
            parts.texts.append(text)
            return ChunkKind.PIECE
        return ChunkKind.PIECE if delta.reasoning_content or delta.reasoning else ChunkKind.OTHER

    def _take_other(self, event: _Response | None, data: bytes) -> ChunkKind:
        """Add the first event, a whole answer, or any other that is no plain part of a text."""
        parts = self._parts
        parts.piece = parts.usage_only = False
        if event is None or not self._add(event, parts):
            read_data(data, parts)
        if parts.piece:
            return ChunkKind.PIECE
        return ChunkKind.USAGE if parts.usage_only else ChunkKind.OTHER

    def _add(self, event: _Response, parts: AnswerParts) -> bool:
        """Add a usual event; return False for any other, of which nothing has been added."""
        if not event.choices and event.usage is None:
            return False
        answer = parts.answer
        if answer.model is None:
            answer.model, answer.fingerprint = event.model, event.system_fingerprint
        if event.usage is not None:
            event.usage.tell(answer)
            if not event.choices:
                parts.listed = parts.usage_only = True
        if event.metrics is not None:
            read_metrics(event.metrics, answer)
        for choice in event.choices:
            self._add_choice(choice, parts)
        return True

    def _add_choice(self, choice: _Choice, parts: AnswerParts) -> None:
        part = choice.delta or choice.message
        text = choice.text if part is None else part.content
        calls = None if part is None else part.tool_calls
        if text or calls or (part is not None and (part.reasoning_content or part.reasoning)):
            parts.piece = True
        if parts.choice is None:
            parts.choice = choice.index
        elif choice.index != parts.choice and not parts.takes(choice.index):
            parts.end_choice(choice.index, ended=choice.finish_reason)
            return
        parts.listed, parts.answer.absent = True, False
        whole = part is not None and choice.delta is None
        if not whole or not parts.has_content:  # a message after its parts repeats them
            if text:
                parts.texts.append(text)
            for call in calls or ():
                name, arguments = call.function.name, call.function.arguments or ""
                parts.add_call(call.index, call.id, name, arguments, whole=whole)
        if choice.finish_reason:
            parts.answer.finish_reason = _reason(choice)

    def answer(self) -> ParsedAnswer:
        """Return the answer so far."""
        return self._parts.collected()
