"""Reads the facts of an answer from generic JSON, whichever API and server it comes from.

The answers of five APIs are read, whole or as a stream's events: chat completions, completions,
the Responses API, the Messages API, and what other servers make of them. Which it is shows in
its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tidegauge.capture.answer import AnswerParts, ParsedAnswer
from tidegauge.capture.answer_fields import (
    THOUGHTS,
    Json,
    add_text,
    as_json,
    index_of,
    kind_of,
    listed,
    load_all,
    name_of,
    read_call,
    read_content,
    read_error,
    read_finish,
    read_metrics,
    read_part,
    read_refusal,
    read_served,
    read_usage,
    unwrapped,
)

__all__ = ["read_answer", "read_data", "read_facts", "read_message"]

_REASONING: Final = ("reasoning_content", "reasoning", "reasoning_details", "thinking")


def read_data(data: bytes, parts: AnswerParts) -> None:
    """Read a whole answer or an event's data, of any API; what is no JSON is noted.

    Servers that end events by a single line feed, or send lines of JSON, put several into one.
    """
    try:
        values = load_all(data)
    except ValueError:
        parts.answer.leave_unread("answer")
        return
    for value in values:
        read_answer(value, parts)


def read_answer(value: object, parts: AnswerParts) -> None:
    """Read a whole answer or an event, of any API, from generic JSON."""
    if not isinstance(value, dict):
        parts.answer.leave_unread("answer")
        return
    kind = kind_of(value)
    if _read_errors(value, parts.answer):
        return
    if isinstance(kind, str) and kind.startswith("response."):
        _read_response_event(kind, value, parts)
    elif isinstance(kind, str) and kind in _MESSAGE_EVENTS:
        _MESSAGE_EVENTS[kind](value, parts)
    elif kind == "message" or ("choices" not in value and "content" in value):
        _read_messages_answer(value, parts)
    elif "output" in value or value.get("object") == "response":
        _read_response(value, parts)
    else:
        _read_completion(value, parts)


def read_facts(value: Json, answer: ParsedAnswer) -> None:
    """Read what answers have that no model generated: an error, the model and the usage."""
    _read_errors(value, answer)
    read_served(value, answer)
    read_usage(value.get("usage"), answer)


def _read_errors(value: Json, answer: ParsedAnswer) -> bool:
    """Read the error beside an answer, or in its place; return whether it is in its place."""
    read_error(value.get("error"), answer)
    in_place = "error" in (value.get("object"), value.get("type"))
    if in_place:
        read_error(value.get("error") or value, answer)
    return in_place


# Chat completions and completions.


def read_message(message: Json, parts: AnswerParts, *, whole: bool) -> None:
    """Read a chat message or a part of one.

    Args:
        message: The message.
        parts: What is put together.
        whole: Whether it is a whole message.
    """
    read_content(message.get("content"), parts)
    read_refusal(message.get("refusal"), parts)
    if any(message.get(name) for name in _REASONING):
        parts.piece = True
    calls = listed(unwrapped(message.get("tool_calls")), "tool_calls", parts)
    for call in calls:
        read_call(call, parts, whole=whole)
    legacy = message.get("function_call")
    if calls:
        pass  # which the legacy field repeats
    elif isinstance(legacy, dict):
        read_call(legacy, parts, whole=whole, place=None if whole else "function_call")
    elif legacy is not None:
        parts.answer.leave_unread("function_call")
    audio = message.get("audio")
    if isinstance(audio, dict):
        parts.answer.media = parts.piece = True
        if isinstance(audio.get("transcript"), str):
            add_text(audio["transcript"], parts)
    elif audio is not None:
        parts.answer.leave_unread("audio")
    if message.get("images") or message.get("videos"):
        parts.answer.media = parts.piece = True
    read_error(message.get("error"), parts.answer)


def _read_completion(body: Json, parts: AnswerParts) -> None:
    read_served(body, parts.answer)
    read_usage(body.get("usage"), parts.answer)
    groq = body.get("x_groq")
    if isinstance(groq, dict):
        read_usage(groq.get("usage"), parts.answer)
    read_metrics(body.get("metrics"), parts.answer)
    choices = body.get("choices")
    parts.usage_only = not choices and isinstance(body.get("usage"), dict)
    if isinstance(choices, list):
        parts.listed = True
    if "choices" not in body and isinstance(body.get("message"), dict):
        choices = {"message": body["message"], "finish_reason": body.get("done_reason")}
    for choice in listed(choices, "choices", parts):
        _read_choice(choice, parts)


def _read_choice(choice: Json, parts: AnswerParts) -> None:
    index, reason = index_of(choice) or 0, choice.get("finish_reason", choice.get("finishReason"))
    read_usage(choice.get("usage"), parts.answer)
    read_error(choice.get("error"), parts.answer)
    if not parts.takes(index):
        parts.piece = True
        parts.end_choice(index, ended=reason)
        return
    parts.listed, parts.answer.absent = True, False
    delta, message = choice.get("delta"), choice.get("message")
    if isinstance(delta, dict):
        read_message(delta, parts, whole=False)
    elif isinstance(message, dict):
        if not parts.has_content:  # a message after its parts repeats them
            read_message(message, parts, whole=True)
    elif isinstance(delta, str) or isinstance(message, str):
        read_content(delta or message, parts)
    elif delta is not None or message is not None:
        parts.answer.leave_unread("message")
    read_content(choice.get("text"), parts)
    read_finish(reason, parts.answer)


# The Responses API.


def _read_response(response: Json, parts: AnswerParts) -> None:
    """Read a response; its output replaces what was read of it before, if there is any."""
    answer = parts.answer
    answer.response_id = name_of(response.get("id"))
    read_served(response, parts.answer)
    read_usage(response.get("usage"), parts.answer)
    read_error(response.get("error"), parts.answer)
    state = response.get("status")
    if isinstance(state, str):
        answer.state = name_of(state.lower())
    elif state is not None:
        parts.answer.leave_unread("status")
    items = listed(response.get("output"), "output", parts)
    if items:
        parts.forget()
        for item in items:
            _read_item(item, parts)
    if items or answer.state in _STATES:
        answer.absent = False
    if not parts.has_content:
        read_content(response.get("output_text"), parts)
    parts.listed = parts.listed or answer.state in {None, "completed", "incomplete"}
    answer.finish_reason = _reason_of(response, parts)


def _read_item(item: Json, parts: AnswerParts) -> None:
    kind = kind_of(item)
    if kind in {"message", None}:
        read_content(item.get("content"), parts)
    elif kind in {"function_call", "custom_tool_call"}:
        place = item.get("id") or item.get("call_id")
        read_call(item, parts, whole=False, place=place if isinstance(place, str) else None)
    elif kind in _CALLS_OF_THE_CLIENT or (kind in _CALLS_WITH_RESULTS and item.get("result")):
        parts.answer.media = True


def _reason_of(response: Json, parts: AnswerParts) -> str | None:
    """Return the finish reason in the chat API's terms."""
    state = parts.answer.state
    if state == "incomplete":
        details = response.get("incomplete_details")
        reason = name_of(details.get("reason")) if isinstance(details, dict) else None
        return "length" if reason == "max_output_tokens" else reason
    if state == "completed":
        return "tool_calls" if parts.has_calls else "stop"
    return None


_STATES: Final = frozenset(
    {"queued", "in_progress", "completed", "incomplete", "failed", "cancelled"}
)
_CALLS_WITH_RESULTS: Final = frozenset({"image_generation_call", "code_interpreter_call"})
_CALLS_OF_THE_CLIENT: Final = frozenset(
    {
        *("computer_call", "local_shell_call", "shell_call", "apply_patch_call"),
        "mcp_approval_request",
    }
)
"""Items by which a model asks the client to do something with tools that the API defines."""
_LAST_EVENTS: Final = frozenset(
    f"response.{state}" for state in ("completed", "incomplete", "failed", "cancelled")
)


def _read_response_event(kind: str, event: Json, parts: AnswerParts) -> None:
    response, item = event.get("response"), event.get("item")
    if kind in _LAST_EVENTS:
        _end_response(kind.removeprefix("response."), response, parts)
    elif isinstance(response, dict):
        _read_response(response, parts)
    elif kind.endswith(".delta"):
        _read_response_delta(kind, event, parts)
    elif kind == "response.output_item.added" and isinstance(item, dict):
        _read_item({**item, "content": None}, parts)
    elif parts.has_content:
        return  # of which these events are repetitions
    elif kind == "response.output_item.done" and isinstance(item, dict):
        _read_item(item, parts)
    elif kind == "response.output_text.done":
        read_content(event.get("text"), parts)


def _end_response(state: str, response: object, parts: AnswerParts) -> None:
    if isinstance(response, dict):  # whose own state may be missing
        _read_response({**response, "status": state}, parts)
    else:
        parts.answer.state = state
        parts.listed = parts.listed or state in {"completed", "incomplete"}


def _read_response_delta(kind: str, event: Json, parts: AnswerParts) -> None:
    delta = event.get("delta")
    parts.piece = bool(delta)
    if kind in {"response.output_text.delta", "response.audio.transcript.delta"}:
        read_content(delta, parts)
    elif kind == "response.refusal.delta":
        read_refusal(delta, parts)
    elif kind.startswith(("response.function_call", "response.custom_tool")):
        parts.add_call(event.get("item_id"), None, None, as_json(delta))


# The Messages API.


def _read_messages_answer(message: Json, parts: AnswerParts) -> None:
    read_served(message, parts.answer)
    read_usage(message.get("usage"), parts.answer)
    if "content" in message:
        parts.listed, parts.answer.absent = True, False
    read_content(message.get("content"), parts)
    read_finish(message.get("stop_reason"), parts.answer)


def _message_start(event: Json, parts: AnswerParts) -> None:
    message = event.get("message")
    if isinstance(message, dict):
        _read_messages_answer(message, parts)


def _content_block_start(event: Json, parts: AnswerParts) -> None:
    block = event.get("content_block")
    if not isinstance(block, dict):
        parts.answer.leave_unread("content_block")
    elif kind_of(block) == "tool_use":
        begun = {**block, "input": block.get("input") or None}
        read_call(begun, parts, whole=False, place=event.get("index"))
    elif kind_of(block) not in THOUGHTS:
        read_part(block, parts)


def _content_block_delta(event: Json, parts: AnswerParts) -> None:
    delta = event.get("delta")
    if not isinstance(delta, dict):
        parts.answer.leave_unread("delta")
    elif delta.get("partial_json") is not None:
        parts.add_call(event.get("index"), None, None, as_json(delta["partial_json"]))
        parts.piece = True
    elif isinstance(delta.get("text"), str):
        add_text(delta["text"], parts)
    elif delta.get("thinking"):
        parts.piece = True


def _message_delta(event: Json, parts: AnswerParts) -> None:
    read_usage(event.get("usage"), parts.answer)
    delta = event.get("delta")
    if isinstance(delta, dict):
        read_finish(delta.get("stop_reason"), parts.answer)


def _message_stop(_event: Json, parts: AnswerParts) -> None:
    parts.answer.state = "completed"


def _nothing_to_read(_event: Json, _parts: AnswerParts) -> None:
    """Pass over an event that tells no fact."""


_MESSAGE_EVENTS: Final[Mapping[str, Callable[[Json, AnswerParts], None]]] = {
    "message_start": _message_start,
    "content_block_start": _content_block_start,
    "content_block_delta": _content_block_delta,
    "content_block_stop": _nothing_to_read,
    "message_delta": _message_delta,
    "message_stop": _message_stop,
    "ping": _nothing_to_read,
}
