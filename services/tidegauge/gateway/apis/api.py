"""The interface of an API adapter, and the parsed values that it returns.

An adapter reads only the fields that the gateway needs; all others pass through unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Final, Protocol, TypeVar

import msgspec

from tidegauge.capture.answer import AnswerParts, ParsedAnswer
from tidegauge.capture.answer_fields import UNREADABLE
from tidegauge.capture.answer_reader import read_data
from tidegauge.capture.expectations import NOTHING_EXPECTED, Expectations
from tidegauge.gateway.errors import RefusedError
from tidegauge.schemas.exchange import ErrorKind, Message, Sampling

LARGEST_NUMBER: Final = 1e300
LARGEST_WHOLE: Final = 2**63 - 1
_BYTES_PER_TOKEN: Final = 4
_TOKENS_PER_MESSAGE: Final = 4

T = TypeVar("T")

__all__ = [
    "LARGEST_NUMBER",
    "LARGEST_WHOLE",
    "NOTHING_EXPECTED",
    "AnswerCollector",
    "Api",
    "ChunkKind",
    "EventCollector",
    "Expectations",
    "ParsedAnswer",
    "ParsedRequest",
    "content_text",
    "decode_request",
    "malformed",
    "number",
    "present",
    "prompt_tokens",
    "read_sampling",
    "text_tokens",
    "whole",
]


class ParsedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a request that the gateway needs.

    Attributes:
        model: The model's name as the client sent it; empty if it left the choice to the server.
        messages: The messages as text.
        stream: Whether the answer is streamed.
        usage_wanted: Whether the client asked for the usage at a stream's end.
        sampling: Sampling parameters.
        choices: The number of answers requested.
        expectations: What to check the answer against.
        body: The body to forward, if it is not the client's own.
        conversation: Id of the conversation in the body.
        predecessor: Id of the response that the request follows.
        metadata: The request's metadata as the client sent it; None without any.
    """

    model: str
    messages: tuple[Message, ...]
    stream: bool = False
    usage_wanted: bool = False
    sampling: Sampling = Sampling()
    choices: int = 1
    expectations: Expectations = NOTHING_EXPECTED
    body: bytes | None = None
    conversation: str | None = None
    predecessor: str | None = None
    metadata: object = None


class ChunkKind(Enum):
    """The kind of one event of a stream."""

    PIECE = "piece"
    """Part of the answer; the first one ends the time to first token."""
    USAGE = "usage"
    """The extra event with the usage, hidden from clients that did not ask for it."""
    OTHER = "other"
    """Any other event: roles, ends, keep-alives."""


class AnswerCollector(Protocol):
    """Assembles an answer from a stream's events."""

    def take(self, data: bytes) -> ChunkKind:
        """Add the data of one event to the answer; what cannot be read of it is noted."""

    def answer(self) -> ParsedAnswer:
        """Return the answer so far."""


class Api(Protocol):
    """Adapter for one of the APIs that the gateway forwards."""

    @property
    def path(self) -> str:
        """Return the upstream's path."""

    @property
    def asks_for_usage(self) -> bool:
        """Whether a stream reports usage only on request (``stream_options``)."""

    @property
    def error_event(self) -> bytes:
        """Return the lines that begin an error's event in a stream, before its data."""

    def read(self, body: bytes) -> ParsedRequest:
        """Parse a request.

        Raises:
            RefusedError: The body is not JSON, or a field that the gateway needs is wrong.
        """

    def answer(self, body: bytes) -> ParsedAnswer:
        """Parse a whole answer; fields that cannot be read stay unset and are noted."""

    def collector(self, choices: int = 1, /) -> AnswerCollector:
        """Return a new collector for a stream with a number of choices."""

    def as_events(self, body: bytes, *, with_usage: bool) -> bytes:
        """Return a whole answer as the events of a stream.

        Args:
            body: The answer.
            with_usage: Whether the client asked for the usage at the end.
        """


def malformed(error: Exception) -> RefusedError:
    """Return the error for a body that cannot be parsed; it quotes paths, but no values."""
    if isinstance(error, msgspec.ValidationError):
        return RefusedError(
            ErrorKind.INVALID_REQUEST,
            f"the request is not as the API defines it: {error}",
            code="invalid_value",
        )
    return RefusedError(
        ErrorKind.INVALID_REQUEST, "the request's body is not valid JSON", code="invalid_json"
    )


def decode_request(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a request's body.

    Raises:
        RefusedError: The body is not JSON, or a field is wrong.
    """
    try:
        return decoder.decode(body)
    except UNREADABLE as error:
        raise malformed(error) from error


def number(value: object) -> float | None:
    """Return a sampling parameter as a float; None for anything but a number of usable size."""
    if value is None:
        return None
    return float(value) if isinstance(value, int | float) and abs(value) < LARGEST_NUMBER else None


def whole(value: object) -> int | None:
    """Return an integer of at most 64 bits, or None for anything else.

    Example:
        >>> whole(7), whole(2**63), whole(True)
        (7, None, None)
    """
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -LARGEST_WHOLE <= value <= LARGEST_WHOLE else None


def read_sampling(  # noqa: PLR0913, PLR0917 - the sampling parameters of an API
    temperature: object,
    top_p: object,
    max_tokens: object,
    seed: object = None,
    n: object = None,
    response_format: str | None = None,
) -> Sampling:
    """Return sampling parameters; values that are not numbers are left to the upstream."""
    return Sampling(
        temperature=None if temperature is None else number(temperature),
        top_p=None if top_p is None else number(top_p),
        max_tokens=None if max_tokens is None else whole(max_tokens),
        seed=None if seed is None else whole(seed),
        n=None if n is None else whole(n),
        response_format=response_format,
    )


def present(raw: msgspec.Raw) -> bytes | None:
    """Return a field's JSON text; None if the field is absent or null."""
    if not raw:
        return None
    text = bytes(raw)
    return None if text == b"null" else text


def describe_part(part: Any) -> str:  # noqa: ANN401 - any JSON
    """Return a content part's text, or its kind in brackets if it is not text.

    Example:
        >>> describe_part({"type": "image_url", "image_url": {"url": "data:..."}})
        '[image]'
    """
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        return ""
    for field in ("text", "refusal"):
        if isinstance(part.get(field), str):
            return str(part[field])
    kind = part.get("type")
    for name in ("image", "audio", "video", "file"):
        if isinstance(kind, str) and name in kind:
            return f"[{name}]"
    return "[part]"


def content_text(content: object) -> str:
    """Return a message's content as text: a text, or parts of which some are none."""
    if isinstance(content, list):
        return "\n".join([describe_part(part) for part in content])
    return content if isinstance(content, str) else ""


class EventCollector:
    """Reads a streamed answer whose events have types; see ``AnswerCollector``.

    Args:
        text_of: Returns the text of an event that holds a part of it, of which a stream has the
            most; raises one of ``UNREADABLE`` for any other event.
    """

    def __init__(self, text_of: Callable[[bytes], str]) -> None:
        self._text_of = text_of
        self._parts = AnswerParts()

    def take(self, data: bytes) -> ChunkKind:
        """Add one event to the answer."""
        parts = self._parts
        try:
            text = self._text_of(data)
        except UNREADABLE:
            parts.piece = False
            read_data(data, parts)
            return ChunkKind.PIECE if parts.piece else ChunkKind.OTHER
        parts.texts.append(text)
        return ChunkKind.PIECE if text else ChunkKind.OTHER

    def answer(self) -> ParsedAnswer:
        """Return the answer so far."""
        return self._parts.collected()


def text_tokens(text: str) -> int:
    """Estimate a text's tokens as a quarter of its UTF-8 bytes, as common for tokenizers.

    Bytes are counted rather than characters, because scripts with three bytes a character take
    about one token for each character.

    Example:
        >>> text_tokens("a quick brown fox"), text_tokens("")
        (5, 0)
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // _BYTES_PER_TOKEN)


def prompt_tokens(messages: Iterable[Message]) -> int:
    """Estimate the tokens of messages, including those of the chat template."""
    tokens = 0
    for message in messages:
        tokens += text_tokens(message.content) + _TOKENS_PER_MESSAGE
        if message.tool_calls is not None:
            tokens += text_tokens(message.tool_calls)
    return tokens
