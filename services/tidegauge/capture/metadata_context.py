"""Context that a client tells in a request's metadata, as a message of the captured exchange.

Some applications put the passages that they retrieved into ``metadata``, for whoever reads the
events, and into the prompt in a form of their own. The upstream gets the request as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tidegauge.capture.text_limits import CapturedMessages, captured_messages
from tidegauge.schemas.exchange import Capture, Message

__all__ = ["context_in_metadata", "with_context"]

_TEXTS = ("text", "content", "page_content")
_MOST_PASSAGES = 64


def context_in_metadata(metadata: object, fields: Sequence[str]) -> tuple[Message, ...]:
    """Return the passages in a request's metadata as messages of the role ``context``.

    A field holds a text, or a list of texts or of objects with one; others are shown as JSON.

    Args:
        metadata: The metadata, as the client sent it.
        fields: Names of the fields that hold context.

    Example:
        >>> found = context_in_metadata({"context": ["A is 1.", {"text": "B is 2."}]}, ["context"])
        >>> [message.content for message in found]
        ['A is 1.', 'B is 2.']
    """
    if not isinstance(metadata, Mapping):
        return ()
    passages: list[str] = []
    for field in fields:
        told = metadata.get(field)
        each = told if isinstance(told, list) else [told]
        passages += [_text(one) for one in each[:_MOST_PASSAGES] if one]
    return tuple(Message(role="context", content=text) for text in passages if text.strip())


def _text(passage: object) -> str:
    if isinstance(passage, str):
        return passage
    if isinstance(passage, Mapping):
        for name in _TEXTS:
            if isinstance(text := passage.get(name), str):
                return text
    return msgspec.json.encode(passage).decode()


def with_context(
    captured: CapturedMessages, context: Sequence[Message], capture: Capture, characters: int
) -> CapturedMessages:
    """Return captured messages with a context before the last one, captured alike.

    Args:
        captured: The messages.
        context: Messages with context.
        capture: How much of the text is captured.
        characters: Most characters of the context.
    """
    if not context or capture == "none":
        return captured
    added = captured_messages(tuple(context), capture, characters)
    messages = captured.messages
    return CapturedMessages(
        (*messages[:-1], *added.messages, *messages[-1:]), captured.omitted + added.omitted
    )
