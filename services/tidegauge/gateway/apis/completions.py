"""Adapter for ``/v1/completions``."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tidegauge.capture.answer import ParsedAnswer
from tidegauge.capture.expectations import expectations
from tidegauge.capture.history import given_id, id_in_metadata
from tidegauge.gateway.apis.api import ParsedRequest, decode_request
from tidegauge.gateway.apis.as_events import choices_as_events
from tidegauge.gateway.apis.chat import (
    ChoicesCollector,
    StreamOptions,
    read_choices,
    sampling,
)
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
    metadata: Any = None
    litellm_session_id: Any = None


_request: Final = msgspec.json.Decoder(_Request, strict=False)


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
    error_event = b""

    def read(self, body: bytes) -> ParsedRequest:
        """Parse a request; see ``Api``."""
        request = decode_request(_request, body)
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
            conversation=given_id(request.litellm_session_id) or id_in_metadata(request.metadata),
            metadata=request.metadata,
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
