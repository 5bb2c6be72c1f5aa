"""Adapter for ``/v1/completions``."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tidegauge.gateway.apis.api import ChunkKind, ParsedAnswer, ParsedRequest, malformed
from tidegauge.gateway.apis.chat import AnswerFields, StreamOptions, expectations, sampling
from tidegauge.schemas.exchange import Message

__all__ = ["Completions", "texts"]


class _Request(msgspec.Struct):
    model: str
    prompt: Any = ""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Any = None
    top_p: Any = None
    max_tokens: Any = None
    seed: Any = None
    n: Any = None
    response_format: Any = None
    structured_outputs: Any = None


class _Choice(msgspec.Struct):
    index: int = 0
    text: str = ""
    finish_reason: str | None = None


class _Response(AnswerFields):
    choices: list[_Choice] = msgspec.field(default_factory=list)


_request: Final = msgspec.json.Decoder(_Request, strict=False)
_response: Final = msgspec.json.Decoder(_Response)


def texts(prompt: Any) -> list[str]:  # noqa: ANN401 - any JSON
    """Return the texts of a prompt or an embedding's input; token ids become a placeholder.

    Example:
        >>> texts(["a", "b"]), texts([1, 2, 3])
        (['a', 'b'], ['[3 tokens]'])
    """
    if isinstance(prompt, str):
        return [prompt]
    if not isinstance(prompt, list):
        return []
    if prompt and all(isinstance(item, int) for item in prompt):
        return [f"[{len(prompt)} tokens]"]
    return [text for item in prompt for text in texts(item)]


class Completions:
    """Reads completion requests and answers."""

    path = "/v1/completions"
    asks_for_usage = True

    def read(self, body: bytes) -> ParsedRequest:
        """Parse a request; see ``Api``."""
        try:
            request = _request.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise malformed(error) from error
        options = request.stream_options
        sampled = sampling(request)
        return ParsedRequest(
            model=request.model,
            messages=tuple([Message(role="user", content=text) for text in texts(request.prompt)]),
            stream=bool(request.stream),
            usage_wanted=bool(options and options.include_usage),
            sampling=sampled,
            choices=max(1, sampled.n or 1),
            expectations=expectations(request.response_format, request.structured_outputs, None),
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
                answer.text = choice.text
                answer.finish_reason = choice.finish_reason
        return answer

    def collector(self) -> _Collector:
        """Return a new collector."""
        return _Collector()


class _Collector:
    """Assembles a streamed completion."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._answer = ParsedAnswer()

    def take(self, data: bytes) -> ChunkKind:
        """Add one event to the answer."""
        try:
            chunk = _response.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ChunkKind.OTHER
        seen = chunk.tell(self._answer, choices=bool(chunk.choices))
        for choice in chunk.choices:
            if choice.text:
                seen = ChunkKind.PIECE
            if choice.index == 0:
                self._texts.append(choice.text)
                self._answer.finish_reason = choice.finish_reason or self._answer.finish_reason
        return seen

    def answer(self) -> ParsedAnswer:
        """Return the answer so far."""
        self._answer.text = "".join(self._texts)
        return self._answer
