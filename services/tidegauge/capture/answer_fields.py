"""Reads single facts from generic JSON: tokens, texts, tool calls, errors, each by itself.

An odd field costs its own fact and no other, and is noted as unread.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, Final

import msgspec

from tidegauge.capture.answer import AnswerParts, ParsedAnswer
from tidegauge.capture.text_limits import well_formed

__all__ = [
    "MOST_TOKENS",
    "THOUGHTS",
    "UNREADABLE",
    "Json",
    "add_text",
    "as_json",
    "index_of",
    "kind_of",
    "listed",
    "load_all",
    "name_of",
    "read_call",
    "read_content",
    "read_error",
    "read_finish",
    "read_metrics",
    "read_part",
    "read_refusal",
    "read_served",
    "read_usage",
    "unwrapped",
]

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on JSON that it cannot decode as asked."""

THOUGHTS: Final = frozenset(
    {
        *("thinking", "redacted_thinking", "thought"),
        *("reasoning", "reasoning_text", "reasoning_content"),
    }
)
"""Kinds of content that the model does not say to its user."""

MOST_TOKENS: Final = 1_000_000_000
"""The most tokens that a usage can be believed to have."""

Json = Mapping[str, Any]

_LARGEST: Final = 1e12
_MOST_DIGITS: Final = 18
_LONGEST_NAME: Final = 200
_LONGEST_CODE: Final = 60
_BOM: Final = b"\xef\xbb\xbf"
_BLANKS: Final = re.compile(r"\s*")
_MOST_VALUES: Final = 20_000
_NO_TEXTS: Final = ("image", "audio", "video", "file", "tool_use", "tool_result")
_OF_PARTS: Final = frozenset({"type", "text", "refusal", "transcript"})


def load_all(data: bytes) -> list[Any]:
    """Return JSON as generic values, also what JSON forbids and servers send.

    ``NaN`` and infinite numbers become None, integers beyond 64 bits floats. Strings may hold
    halves of a character. There is one value, unless more follow it; what follows and is no JSON
    is left out.

    Raises:
        ValueError: It is no JSON, or nested too deeply.
    """
    try:
        return [msgspec.json.decode(data)]
    except UNREADABLE:
        text = data.removeprefix(_BOM).decode("utf-8", "replace")
    values: list[Any] = []
    place = _after_blanks(text, 0)
    while place < len(text) and len(values) < _MOST_VALUES:
        try:
            value, end = _decoder.raw_decode(text, place)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        except ValueError:
            if not values:
                raise
            break
        values.append(value)
        place = _after_blanks(text, end)
    if not values:
        raise ValueError("there is nothing")
    return values


def _after_blanks(text: str, start: int) -> int:
    found = _BLANKS.match(text, start)
    return start if found is None else found.end()


def unwrapped(value: object) -> object:
    """Return a list that a server has sent as JSON text, or the value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        (found,) = load_all(value.encode("utf-8", "surrogatepass"))
    except ValueError:
        return value
    return found


def _nothing(_constant: str) -> None:
    return None


def _integer(text: str) -> int | float | None:
    return int(text) if len(text) <= _MOST_DIGITS else _finite(text)


def _finite(text: str) -> float | None:
    number = float(text)
    return number if isfinite(number) else None


def name_of(value: object) -> str | None:
    """Return a text that is not empty, cut to a name's length; None for anything else."""
    return well_formed(value[:_LONGEST_NAME]) if isinstance(value, str) and value else None


def kind_of(value: Json) -> str | None:
    """Return the type that an object tells; None where it is no text."""
    kind = value.get("type")
    return kind if isinstance(kind, str) else None


def _tokens(value: object) -> int | None:
    """Return a number of tokens; None for what cannot be one."""
    if isinstance(value, str):
        try:
            value = float(value) if len(value) <= _MOST_DIGITS else None
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= MOST_TOKENS and value == int(value) else None


_decoder: Final = json.JSONDecoder(
    parse_constant=_nothing, parse_int=_integer, parse_float=_finite, strict=False
)
_INPUT: Final = ("prompt_tokens", "input_tokens", "promptTokenCount", "inputTokens")
_OUTPUT: Final = (
    *("completion_tokens", "output_tokens", "generated_tokens"),
    *("candidatesTokenCount", "outputTokens"),
)
_CACHED: Final = ("cached_tokens", "cache_read_input_tokens", "prompt_cache_hit_tokens")
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS: Final = ("completion_tokens_details", "output_tokens_details")
_APART: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")


def read_usage(usage: object, answer: ParsedAnswer) -> None:
    """Read a usage; what it does not tell stays as it was told before."""
    if usage is None:
        return
    if not isinstance(usage, dict):
        answer.leave_unread("usage")
        return
    _read_tokens(usage, answer)
    _read_details(usage, answer)


def _read_tokens(usage: Json, answer: ParsedAnswer) -> None:
    if isinstance(usage.get("tokens"), dict):
        usage = usage["tokens"]
    prompt = _first_tokens(usage, _INPUT, answer)
    output = _first_tokens(usage, _OUTPUT, answer)
    if prompt is not None:
        if "input_tokens" in usage and not usage.get("prompt_tokens"):
            # The Messages API leaves the tokens of its cache out of ``input_tokens``.
            prompt += sum([_tokens(usage.get(name)) or 0 for name in _APART])
        answer.input_tokens = prompt or answer.input_tokens or 0
        total = _tokens(usage.get("total_tokens"))
        if output is None and total is not None and not any(name in usage for name in _OUTPUT):
            output = max(0, total - prompt)
    if output is not None:  # zeros behind what was told before tell nothing
        answer.output_tokens = output or answer.output_tokens or 0


def _read_details(usage: Json, answer: ParsedAnswer) -> None:
    cached = _detail(usage, _CACHED, _INPUT_DETAILS)
    if cached is not None and cached <= (answer.input_tokens or 0):
        answer.cached_tokens = cached
    reasoning = _detail(usage, ("reasoning_tokens",), _OUTPUT_DETAILS)
    if reasoning is not None and reasoning <= (answer.output_tokens or 0):
        answer.reasoning_tokens = reasoning


def _first_tokens(usage: Json, names: Sequence[str], answer: ParsedAnswer) -> int | None:
    """Return the tokens under the first of the names; zeros do not count beside another name."""
    found = None
    for name in names:
        value = usage.get(name)
        if value is not None and not found:
            found = _tokens(value)
            if found is None:
                answer.leave_unread(f"usage.{name}")
                return None
    return found


def _detail(usage: Json, names: Sequence[str], groups: Sequence[str]) -> int | None:
    for place in (*[usage.get(group) for group in groups], usage):
        if isinstance(place, dict):
            for name in names:
                if name in place and (tokens := _tokens(place[name])) is not None:
                    return tokens
    return None


def read_metrics(metrics: object, answer: ParsedAnswer) -> None:
    """Read vLLM's ``metrics`` (``--enable-per-request-metrics``)."""
    if isinstance(metrics, dict):
        queued = metrics.get("queue_time_ms")
        if isinstance(queued, int | float) and not isinstance(queued, bool):
            answer.queue_ms = float(queued) if abs(queued) < _LARGEST else None


def read_error(error: object, answer: ParsedAnswer) -> None:
    """Read an error that stands in an answer; only its code is kept, never its text."""
    if not error:
        return
    code = ""
    if isinstance(error, dict):
        for name in ("code", "status", "type"):
            value = error.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                code = str(value)[:_LONGEST_CODE]
                break
            if isinstance(value, str) and value.replace("_", "").isalnum() and value.isascii():
                code = value[:_LONGEST_CODE]
                break
    answer.error = answer.error or code


def read_finish(value: object, answer: ParsedAnswer) -> None:
    """Read a finish reason; empty ones, which some servers put into every event, are none."""
    if isinstance(value, str):
        if value and value != "null":
            answer.finish_reason = name_of(value)
    elif value is not None:
        answer.leave_unread("finish_reason")


def read_served(body: Json, answer: ParsedAnswer) -> None:
    """Read which model answered, unless it is known already."""
    if answer.model is None:
        answer.model = name_of(body.get("model"))
        answer.fingerprint = name_of(body.get("system_fingerprint"))


def add_text(text: str, parts: AnswerParts) -> None:
    """Add a part of the text."""
    parts.texts.append(text)
    parts.piece = parts.piece or bool(text)


def read_refusal(refusal: object, parts: AnswerParts) -> None:
    """Read a refusal, or a part of one."""
    if isinstance(refusal, str):
        if refusal:
            parts.refusal += refusal
            parts.piece = True
    elif refusal is not None:
        parts.answer.leave_unread("refusal")


def as_json(value: object) -> str:
    """Return a call's arguments as text; what is no text becomes JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return ""


def listed(value: object, name: str, parts: AnswerParts) -> Sequence[Any]:
    """Return the objects of a list; a single object stands for a list of one."""
    if isinstance(value, dict):
        return (value,)
    if isinstance(value, list | tuple):
        found = [item for item in value if isinstance(item, dict)]
        if len(found) < len(value):
            parts.answer.leave_unread(name)
        return found
    if value is not None:
        parts.answer.leave_unread(name)
    return ()


def read_content(content: object, parts: AnswerParts) -> None:
    """Read a message's content: a text, or parts of which some are texts."""
    if isinstance(content, str):
        add_text(content, parts)
        return
    if isinstance(content, list) and any(isinstance(part, str) for part in content):
        content = [{"text": part} if isinstance(part, str) else part for part in content]
    if isinstance(content, dict) and content and content.keys().isdisjoint(_OF_PARTS):
        add_text(as_json(content), parts)  # the object that the answer was asked to be
        return
    for part in listed(content, "content", parts):
        read_part(part, parts)


def read_part(part: Json, parts: AnswerParts) -> None:
    """Read one part of a message's content."""
    kind, text = kind_of(part), part.get("text")
    if isinstance(text, dict):
        text = text.get("value")
    if kind == "refusal":
        read_refusal(part.get("refusal"), parts)
    elif kind in {"tool_use", "function_call"}:
        read_call(part, parts, whole=True)
    elif kind in THOUGHTS:
        parts.piece = True
    elif isinstance(text, str):
        add_text(text, parts)
    elif isinstance(part.get("transcript"), str):
        add_text(part["transcript"], parts)
        parts.answer.media = True
    elif kind is not None and any(name in kind for name in _NO_TEXTS):
        parts.answer.media = parts.piece = True
    elif kind is None or text is not None:
        parts.answer.leave_unread("content")


def index_of(value: Json) -> int | None:
    """Return the index of a choice or a call, which some servers write as text or as a float."""
    index = value.get("index")
    if isinstance(index, str):
        return int(index) if index.isdecimal() and len(index) <= _MOST_DIGITS else None
    if isinstance(index, float):
        return int(index) if index.is_integer() else None
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def read_call(call: Json, parts: AnswerParts, *, whole: bool, place: object = None) -> None:
    """Read a tool call, or a part of one, in the form of any of the APIs."""
    custom = call.get("custom")
    inner = custom if isinstance(custom, dict) else call.get("function")
    if not isinstance(inner, dict):
        if inner is not None:
            parts.answer.leave_unread("tool_calls")
        inner = call
    is_custom = inner is custom or kind_of(call) in {"custom", "custom_tool_call"}
    for name in ("arguments", "input", "parameters"):
        if inner.get(name) is not None:
            # Of a part, an empty object says that there is nothing of them yet.
            arguments = as_json(inner[name]) if whole or inner[name] else ""
            break
    else:
        arguments = ""
    if place is None and not whole:
        place = index_of(call)
    parts.add_call(
        place,
        name_of(call.get("call_id")) or name_of(call.get("id")),
        name_of(inner.get("name")),
        arguments,
        custom=is_custom,
        whole=whole,
    )
    parts.piece = True
