"""``/chat``: a minimal API with one message in and one response out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from pydantic import BaseModel, Field

from tidegauge.gateway.apis import AnswerCollector, ParsedAnswer, ParsedRequest, malformed
from tidegauge.gateway.apis.chat import Chat
from tidegauge.gateway.errors import RefusedError
from tidegauge.gateway.proxy.relay import Headers, Sink
from tidegauge.schemas.exchange import ErrorKind

__all__ = ["Collected", "PlainChat", "PlainRequest", "PlainResponse"]


class PlainRequest(BaseModel):
    """A message for a model."""

    message: str = Field(description="The user's message.")
    system_prompt: str | None = Field(None, description="How the model should behave.")
    model: str | None = Field(None, description="Which model; the gateway's default if absent.")


class PlainResponse(BaseModel):
    """The model's answer to a message."""

    response: str = Field(description="The model's answer.")
    model: str = Field(description="The model that was asked.")
    latency_ms: float = Field(description="From the request's arrival to the answer's end.")


class _Request(msgspec.Struct):
    message: str
    system_prompt: str | None = None
    model: str | None = None


_decode: Final = msgspec.json.Decoder(_Request).decode


class PlainChat:
    """Reads ``/chat`` requests and forwards them as chat completions.

    Args:
        default_model: Returns the model of a request that names none.
    """

    path = Chat.path
    asks_for_usage = Chat.asks_for_usage
    error_event = Chat.error_event

    def __init__(self, default_model: Callable[[], str | None]) -> None:
        self._default_model = default_model
        self._chat = Chat()

    def read(self, body: bytes) -> ParsedRequest:
        """Parse a request; see ``Api``."""
        try:
            request = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise malformed(error) from error
        model = request.model or self._default_model()
        if model is None:
            raise RefusedError(
                ErrorKind.UNKNOWN_MODEL, "no model is served yet", code="model_not_found"
            )
        messages = [{"role": "user", "content": request.message}]
        if request.system_prompt is not None:
            messages.insert(0, {"role": "system", "content": request.system_prompt})
        forwarded = msgspec.json.encode({"model": model, "messages": messages})
        return msgspec.structs.replace(self._chat.read(forwarded), body=forwarded)

    def answer(self, body: bytes) -> ParsedAnswer:
        """Parse a whole answer; see ``Api``."""
        return self._chat.answer(body)

    def collector(self, choices: int = 1, /) -> AnswerCollector:
        """Return a new collector."""
        return self._chat.collector(choices)

    def as_events(self, body: bytes, *, with_usage: bool) -> bytes:
        """Return a whole answer as events; see ``Api``."""
        return self._chat.as_events(body, with_usage=with_usage)


class Collected(Sink):
    """Stores an answer instead of sending it; its sender must record the exchange first.

    Attributes:
        status: HTTP status.
        headers: Response headers.
        body: The body.
    """

    def __init__(self) -> None:
        self.status = 500
        self.headers: Headers = []
        self.body = b""

    async def begin(self, status: int, headers: Headers) -> None:
        """Store the head."""
        self.status, self.headers = status, headers

    async def send(self, data: bytes) -> None:
        """Store a part of the body."""
        self.body += data

    async def end(self, data: bytes = b"") -> None:
        """Store the last part of the body."""
        self.body += data
