"""Limits the text that events carry: full, redacted or none, cut in the middle if it is long.

A conversation that is too long keeps its beginning, which has the instructions and often the
context, and its end, which the answer is to. What was left out is counted, and a mark stands in
its place.

Secrets are looked for before a text is cut, also beyond the cut: a secret that a cut would go
through is left out as a whole. Only the kept parts and a margin around them are searched, so a
long text costs no more than a short one.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import Final, NamedTuple

from tidegauge.capture.redaction import find_private, redact, replaced
from tidegauge.schemas.exchange import Capture, Message

__all__ = ["CapturedMessages", "CapturedText", "captured_messages", "captured_text", "well_formed"]

_MARGIN: Final = 4096
"""How far beyond a cut secrets are looked for."""
_MOST_MESSAGES: Final = 1024
_LONGEST_ROLE: Final = 32
_SECRET_RUN: Final = re.compile(r"[A-Za-z0-9._~+/=-]*")


class CapturedText(NamedTuple):
    """A text as an event may carry it.

    Attributes:
        text: The text; None if there is none or it may not be captured.
        omitted: The number of characters that were cut off.
    """

    text: str | None
    omitted: int


class CapturedMessages(NamedTuple):
    """Messages as an event may carry them.

    Attributes:
        messages: The messages.
        omitted: The number of characters that were cut off, tool calls included.
    """

    messages: tuple[Message, ...]
    omitted: int


_NOTHING: Final = CapturedText(None, 0)


def captured_text(text: str | None, capture: Capture, limit: int) -> CapturedText:
    """Return a text as an event may carry it.

    Args:
        text: The text.
        capture: How much of it may be captured.
        limit: The most characters to keep. A longer text keeps half of them from its beginning
            and half from its end, with a mark between.
    """
    if text is None or capture == "none":
        return _NOTHING
    if capture == "full" and len(text) <= limit:
        return CapturedText(text, 0)
    return _cut(text, capture, limit // 2, len(text) - (limit - limit // 2))


def captured_messages(
    messages: tuple[Message, ...], capture: Capture, limit: int
) -> CapturedMessages:
    """Return messages as an event may carry them; the same tuple if nothing has to be changed.

    Messages that are longer than ``limit`` together are cut in the middle as if they were one
    text. At most 1,024 messages are kept.
    """
    if capture == "none":
        return CapturedMessages((), 0)
    sizes = [len(message.content) + len(message.tool_calls or "") for message in messages]
    total = sum(sizes)
    if total <= limit and len(messages) <= _MOST_MESSAGES:
        if capture == "full" and all(len(each.role) <= _LONGEST_ROLE for each in messages):
            return CapturedMessages(messages, 0)
        return CapturedMessages(tuple([_kept(message, capture)[0] for message in messages]), 0)
    if limit <= 0:
        return CapturedMessages((), total)
    first, left = _position(sizes, limit // 2)
    last, right = _position(sizes[::-1], limit - limit // 2)
    last, right = len(sizes) - 1 - last, sizes[-1 - last] - right
    if first == last:
        (cut, omitted) = _kept(messages[first], capture, left, right)
        middle, dropped = [cut], omitted
    else:
        between = sum(sizes[first + 1 : last])
        before, dropped = _kept(messages[first], capture, left, sizes[first], between)
        after, omitted = _kept(messages[last], capture, 0, right)
        middle = [before, after]
        dropped += between + omitted
    kept = [
        *(_kept(message, capture)[0] for message in messages[:first]),
        *middle,
        *(_kept(message, capture)[0] for message in messages[last + 1 :]),
    ]
    return CapturedMessages(tuple(kept), dropped)


def _position(sizes: list[int], characters: int) -> tuple[int, int]:
    """Return the message that contains a position, and the characters before it in there."""
    most = min(len(sizes), _MOST_MESSAGES // 2) - 1
    for index, size in enumerate(islice(sizes, most)):
        if characters <= size:
            return index, characters
        characters -= size
    return most, min(characters, sizes[most])


def _kept(
    message: Message, capture: Capture, left: int = 0, right: int = 0, more: int = 0
) -> tuple[Message, int]:
    """Return a message without what lies between two positions in it.

    Args:
        message: The message; its tool calls come after its content.
        capture: How much text to keep, ``full`` or ``redacted``.
        left: Where the cut begins.
        right: Where it ends.
        more: Characters that are left out after the message; the mark counts them too.

    Returns:
        The message, and how many of its characters were left out.
    """
    length, calls = len(message.content), message.tool_calls
    content, omitted = _cut(message.content, capture, left, min(right, length), more)
    if calls is not None:
        in_calls = max(0, left - length), max(0, right - length)
        if in_calls == (0, len(calls)):
            omitted += len(calls)
            calls = None
        else:
            calls, cut = _cut(calls, capture, *in_calls)
            omitted += cut
    role = message.role[:_LONGEST_ROLE]
    return Message(role=role, content=content or "", tool_calls=calls or None), omitted


def _cut(text: str, capture: Capture, left: int, right: int, more: int = 0) -> CapturedText:
    """Return a text without what lies between two positions; nothing does if they cross."""
    left = min(left, len(text))
    if left >= right and not more:
        return CapturedText(redact(text) if capture == "redacted" else text, 0)
    right = max(left, right)
    if capture == "redacted":
        before, left = _beginning(text, left)
        after, right = _end(text, right)
    else:
        before, after = text[:left], text[right:]
    return CapturedText(f"{before}{_mark(right - left + more)}{after}", right - left)


def _mark(characters: int) -> str:
    return f"\n[… {characters:,} characters left out …]\n"


def _beginning(text: str, end: int) -> tuple[str, int]:
    """Return a text's beginning, redacted, and where it ends: before a secret at ``end``."""
    spans = find_private(text[: end + _MARGIN])
    end = next((span.start for span in spans if span.start < end < span.end), end)
    return replaced(text[:end], [span for span in spans if span.end <= end]), end


def _end(text: str, start: int) -> tuple[str, int]:
    """Return a text's end, redacted, and where it begins: after a secret at ``start``."""
    seen = max(0, start - _MARGIN)
    if seen:
        start = max(start, _after_key(text, seen, start))
        run = _SECRET_RUN.match(text, seen)
        start = max(start, run.end() if run else start)
        seen = max(0, start - _MARGIN)
    spans = find_private(text[seen:])
    spans = [span._replace(start=span.start + seen, end=span.end + seen) for span in spans]
    start = next((span.end for span in spans if span.start < start < span.end), start)
    kept = [
        span._replace(start=span.start - start, end=span.end - start)
        for span in spans
        if span.start >= start
    ]
    return replaced(text[start:], kept), start


def _after_key(text: str, seen: int, start: int) -> int:
    """Return where a private key ends that began out of sight, before ``seen``; else ``start``."""
    begin = text.rfind("-----BEGIN ", 0, seen)
    if begin < 0 or "PRIVATE KEY" not in text[begin : begin + 80]:
        return start
    end = text.find("-----END ", begin)
    if end < 0:
        return len(text)
    return max(
        start, end + len("-----END ") + text[end + len("-----END ") :][:80].find("-----") + 5
    )


def well_formed(text: str) -> str:
    r"""Return a text that can be encoded: halves of a character are joined, single ones replaced.

    Example:
        >>> well_formed("\ud83c\udf89 \ud83c") == "\U0001f389 \ufffd"
        True
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
