"""Converts the arguments of LiteLLM's callbacks into exchange records, without side effects.

LiteLLM passes nested dictionaries that differ between its versions. A field that is missing or
has an unexpected type is left out of the record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from tidegauge.capture.answer import AnswerParts, Ending, ParsedAnswer, decide
from tidegauge.capture.answer_reader import read_answer
from tidegauge.capture.exchange_record import AnswerRecord, ExchangeRecord, PendingChecks
from tidegauge.capture.expectations import expectations
from tidegauge.capture.litellm_conversation import Answered, with_conversation
from tidegauge.capture.placement import Conversations
from tidegauge.capture.text_limits import captured_messages, captured_text, well_formed
from tidegauge.schemas.exchange import (
    Capture,
    ErrorKind,
    Message,
    Sampling,
    outcome_of,
)

__all__ = ["answered", "came_through_proxy", "failed", "with_limited_text"]

_GENERATING = frozenset(
    prefix + name
    for prefix in ("", "a")
    for name in ("completion", "text_completion", "embedding", "responses", "anthropic_messages")
)
_PROBE = "litellm-internal-health-check"
_UNKNOWN = "unknown"
_TRACEPARENT_PARTS = 4


def answered(
    kwargs: Mapping[str, Any], *, text: bool, conversations: Conversations
) -> ExchangeRecord | None:
    """Return the record of a successful exchange; None for calls that generate nothing.

    Args:
        kwargs: The callback's first argument, with its ``standard_logging_object``.
        text: Whether prompts and answers may be captured.
        conversations: Finds the place of each request in its conversation.
    """
    said = mapping(kwargs.get("standard_logging_object"))
    if not said or not _is_generation(said):
        return None
    metadata = _metadata(kwargs)
    begin = seconds(metadata.get("litellm_received_at")) or number(said.get("startTime")) or 0.0
    end = number(said.get("endTime")) or begin
    stream = said.get("stream") is True
    first = number(said.get("completionStartTime"))
    response = mapping(said.get("response"))
    answer = _answer(said, response)
    ending = decide(answer, _OK, None, done=True)
    reply = AnswerRecord(
        status=_OK,
        latency_ms=max(0.0, (end - begin) * 1000),
        error=ending.error,
        error_detail=ending.detail,
        text=answer.text if text else None,
        output_characters=len(answer.text or ""),
        tool_calls=answer.tool_calls if text else None,
        finish_reason=answer.finish_reason,
        checks=_checks(said, answer, ending, text=text),
        time_to_first_token_ms=(first - begin) * 1000 if stream and first else None,
        usage=answer.usage,
        cost_usd=number(said.get("response_cost")) or None,
        upstream=string(said.get("model_id")),
        served_model=string(said.get("model")),
        served_fingerprint=answer.fingerprint,
        attempts=_attempts(metadata),
        outcome=ending.outcome,
        unread=answer.unread,
    )
    record = ExchangeRecord(
        **_asked(said, metadata, kwargs),
        time_ms=round(begin * 1000),
        stream=stream,
        answer=reply,
    )
    answered_with = Answered(
        answer.text,
        answer.tool_calls,
        answer.response_id if response.get("object") == "response" else None,
        round(end * 1000),
        failed=ending.outcome not in {"ok", "pending"},
    )
    record = with_conversation(record, conversations, _request(kwargs), said, answered_with)
    return record if text else _without_text(record)


def failed(
    data: Mapping[str, Any],
    error: BaseException,
    *,
    now_seconds: float,
    text: bool,
    conversations: Conversations,
) -> ExchangeRecord | None:
    """Return the record of a failed exchange; None for calls that generate nothing.

    Args:
        data: The proxy's request data, or the ``kwargs`` of a failure callback.
        error: The error that the client gets.
        now_seconds: The present time, Unix seconds.
        text: Whether prompts may be captured.
        conversations: Finds the place of each request in its conversation.
    """
    said = mapping(data.get("standard_logging_object"))
    if not _is_generation({"call_type": data.get("call_type"), **said}):
        return None
    metadata = _metadata(data)
    begin = seconds(metadata.get("litellm_received_at")) or seconds(data.get("start_time"))
    begin = begin or now_seconds
    status = _status(error)
    routed = bool(metadata.get("deployment"))
    kind = _error_kind(error, status, routed=routed)
    asked = {"messages": data.get("messages") or data.get("input") or data.get("prompt"), **said}
    answer = AnswerRecord(
        status=status,
        latency_ms=max(0.0, (now_seconds - begin) * 1000),
        error=kind,
        error_detail=f"{type(error).__name__} {'after' if routed else 'before'} it was routed",
        outcome=outcome_of(kind),
        upstream=string(mapping(metadata.get("model_info")).get("id")),
        attempts=_attempts(metadata),
    )
    record = ExchangeRecord(
        **_asked(asked, metadata, data),
        time_ms=round(begin * 1000),
        stream=data.get("stream") is True,
        answer=answer,
    )
    if routed:
        ended = Answered(end_ms=round(now_seconds * 1000), failed=True)
        record = with_conversation(record, conversations, _request(data), asked, ended)
    return record if text else _without_text(record)


def with_limited_text(record: ExchangeRecord, capture: Capture, characters: int) -> ExchangeRecord:
    """Return a record with no more text than allowed.

    What cannot be checked any more without the whole text is said to be unchecked.

    Args:
        record: A record with its whole text, or without text.
        capture: How much text to capture.
        characters: Most characters of messages, of an answer's text and of its tool calls.
    """
    if record.capture == "none":
        return record
    messages, omitted = captured_messages(record.messages, capture, characters)
    changes: dict[str, Any] = {"messages": messages, "omitted_characters": omitted}
    answer = record.answer
    if answer is not None:
        text, cut = captured_text(answer.text, capture, characters)
        calls, cut_calls = captured_text(answer.tool_calls, capture, characters)
        whole = capture == "full" and not (omitted or cut or cut_calls)
        changes["answer"] = msgspec.structs.replace(
            answer,
            text=text,
            tool_calls=calls,
            omitted_characters=cut + cut_calls,
            checks=answer.checks if whole else _checks_before_cut(answer),
        )
    return msgspec.structs.replace(record, capture=capture, **changes)


def _checks_before_cut(answer: AnswerRecord) -> dict[str, str]:
    """Return the findings for an answer whose text the shipper will not have as a whole."""
    checks = answer.checks
    if isinstance(checks, dict):
        return checks
    parsed = ParsedAnswer(
        text=answer.text,
        tool_calls=answer.tool_calls,
        refusal=checks.refusal,
        media=checks.media,
        finish_reason=answer.finish_reason,
    )
    forms = {
        "json": checks.wanted.json_object,
        "json_schema": checks.wanted.json_schema is not None,
        "tool_arguments": answer.tool_calls is not None,
    }
    unchecked = {name: "unchecked: cut" for name, asked_for in forms.items() if asked_for}
    return _checks_without_text(parsed) | unchecked


def _without_text(record: ExchangeRecord) -> ExchangeRecord:
    return msgspec.structs.replace(record, messages=(), capture="none")


def came_through_proxy(kwargs: Mapping[str, Any]) -> bool:
    """Whether a callback reports a call of LiteLLM's proxy rather than of its library."""
    request = mapping(kwargs.get("litellm_params")).get("proxy_server_request")
    return bool(request) or "user_api_key_hash" in _metadata(kwargs)


def _is_generation(said: Mapping[str, Any]) -> bool:
    tags = sequence(said.get("request_tags"))
    return said.get("call_type") in _GENERATING and _PROBE not in tags


def _asked(
    said: Mapping[str, Any], metadata: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the record's fields that describe the request and its customer."""
    parameters = mapping(said.get("model_parameters")) or data
    messages = _messages(said.get("messages"))
    # Clients can send any model name; only a routed one may become a segment.
    model = string(metadata.get("model_group")) or _UNKNOWN
    return {
        "request_id": string(data.get("litellm_call_id")) or string(said.get("id")) or _UNKNOWN,
        "model": model,
        "version": string(mapping(metadata.get("model_info")).get("version")) or "",
        "route": string(metadata.get("user_api_key_request_route")) or "",
        "customer": _customer(metadata),
        "key_id": string(metadata.get("user_api_key_alias")) or "",
        "capture": "full",
        "messages": messages,
        "prompt_characters": sum(len(message.content) for message in messages),
        "sampling": Sampling(
            temperature=number(parameters.get("temperature")),
            top_p=number(parameters.get("top_p")),
            max_tokens=whole_or_none(parameters.get("max_tokens")),
            seed=whole_or_none(parameters.get("seed")),
            n=whole_or_none(parameters.get("n")),
            response_format=string(mapping(parameters.get("response_format")).get("type")),
        ),
        "session": string(said.get("session_id")) or string(metadata.get("session_id")),
        "trace_id": _trace_id(data),
    }


def _attempts(metadata: Mapping[str, Any]) -> int:
    return 1 + whole(metadata.get("attempted_retries"))


def _metadata(kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the proxy's metadata of a call; its place in ``kwargs`` depends on the callback."""
    parameters = mapping(kwargs.get("litellm_params"))
    for place in (parameters, kwargs):
        for name in ("metadata", "litellm_metadata"):
            if found := mapping(place.get(name)):
                return found
    return {}


def _customer(metadata: Mapping[str, Any]) -> str:
    for name in ("user_api_key_metadata", "user_api_key_auth_metadata"):
        if customer := string(mapping(metadata.get(name)).get("customer")):
            return customer
    for name in ("user_api_key_team_alias", "user_api_key_alias", "user_api_key_user_id"):
        if customer := string(metadata.get(name)):
            return customer
    return _UNKNOWN


def _messages(said: object) -> tuple[Message, ...]:
    """Return the messages of a request; plain texts become messages of the user."""
    if isinstance(said, str):
        return (Message(role="user", content=well_formed(said)),)
    messages = []
    for entry in sequence(said):
        if isinstance(entry, str):
            messages.append(Message(role="user", content=well_formed(entry)))
        elif message := _message(mapping(entry)):
            messages.append(message)
    return tuple(messages)


def _message(part: Mapping[str, Any]) -> Message | None:
    """Return an entry of a conversation as a message; None for one that nobody says."""
    kind, role = string(part.get("type")), string(part.get("role"))
    if kind not in {"message", None}:
        # An item of the Responses API: results of tools are messages, reasoning and such are not.
        returned = kind is not None and kind.endswith("_output")
        return Message(role="tool", content=_content(part.get("output"))) if returned else None
    if not part:
        return None
    return Message(
        role=role or "user",
        content=_content(part.get("content")),
        tool_calls=as_json(part.get("tool_calls")),
    )


def _content(content: object) -> str:
    """Return a message's text; a part without text is replaced by its kind in brackets."""
    if isinstance(content, str):
        return well_formed(content)
    parts = []
    for part in map(mapping, sequence(content)):
        kind = (string(part.get("type")) or "part").removeprefix("input_")
        text = string(part.get("text"))
        parts.append(text if text is not None else f"[{kind.partition('_')[0]}]")
    return "\n".join(parts)


def _answer(said: Mapping[str, Any], response: Mapping[str, Any]) -> ParsedAnswer:
    """Return the facts of an answer; LiteLLM's own count of the tokens decides."""
    parts = AnswerParts()
    read_answer(response, parts)
    answer = parts.collected()
    # LiteLLM reports a success, so an answer in a form of its own is one.
    answer.absent = answer.absent and answer.generated
    prompt, output = whole(said.get("prompt_tokens")), whole(said.get("completion_tokens"))
    if prompt or output:
        answer.input_tokens, answer.output_tokens = max(0, prompt), max(0, output)
    return answer


def _checks(
    said: Mapping[str, Any], answer: ParsedAnswer, ending: Ending, *, text: bool
) -> dict[str, str] | PendingChecks:
    """Return the inputs of the checks that the shipper makes.

    Without text, it can make none; then these are the findings that need none.
    """
    if ending.outcome != "ok" or not answer.generated:
        return {}
    if text:
        asked = mapping(said.get("model_parameters"))
        tools = as_json(asked.get("tools"))
        wanted = expectations(
            asked.get("response_format"), None, None if tools is None else tools.encode()
        )
        return PendingChecks(wanted, answer.refusal, answer.media)
    return _checks_without_text(answer)


def _checks_without_text(answer: ParsedAnswer) -> dict[str, str]:
    checks = {"empty": "failed" if answer.is_empty else "passed"}
    if answer.is_cut_off is not None:
        checks["truncation"] = "failed" if answer.is_cut_off else "passed"
    return checks


def _status(error: BaseException) -> int:
    for name in ("status_code", "code"):
        value = getattr(error, name, None)
        if isinstance(value, int | str) and str(value).isdecimal():
            return int(value)
    return 500


_BY_NAME = {
    "Timeout": ErrorKind.UPSTREAM_TIMEOUT,
    "APITimeoutError": ErrorKind.UPSTREAM_TIMEOUT,
    "APIConnectionError": ErrorKind.UPSTREAM_UNREACHABLE,
    "ProxyModelNotFoundError": ErrorKind.UNKNOWN_MODEL,
}
_BY_STATUS = {
    401: ErrorKind.UNAUTHORIZED,
    403: ErrorKind.UNAUTHORIZED,
    404: ErrorKind.UNKNOWN_MODEL,
    413: ErrorKind.REQUEST_TOO_LARGE,
    429: ErrorKind.RATE_LIMITED,
}
_OK = 200
_SERVER_FAULT = 500


def _error_kind(error: BaseException, status: int, *, routed: bool) -> ErrorKind:
    by_name = _BY_NAME.get(type(error).__name__)
    if by_name is not None:
        return by_name
    if not routed:
        refused = ErrorKind.INVALID_REQUEST if status < _SERVER_FAULT else ErrorKind.GATEWAY_ERROR
        return _BY_STATUS.get(status, refused)
    return decide(ParsedAnswer(), status, None, done=True).error or ErrorKind.UPSTREAM_ERROR


def _request(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what the proxy received; empty in the library."""
    parameters = mapping(data.get("litellm_params"))
    return mapping(parameters.get("proxy_server_request") or data.get("proxy_server_request"))


def _trace_id(data: Mapping[str, Any]) -> str | None:
    header = string(mapping(_request(data).get("headers")).get("traceparent")) or ""
    parts = header.split("-")
    return parts[1] if len(parts) == _TRACEPARENT_PARTS else None


_MOST = 2**63 - 1
_LARGEST = 1e300


def mapping(value: object) -> Mapping[str, Any]:
    """Return a dictionary, or the fields of a pydantic model; empty for anything else."""
    if isinstance(value, Mapping):
        return value
    dump = getattr(value, "model_dump", None)
    return dump() if callable(dump) else {}


def sequence(value: object) -> Sequence[Any]:
    """Return a list or tuple; empty for anything else."""
    return value if isinstance(value, list | tuple) else ()


def string(value: object) -> str | None:
    """Return a text that is not empty; None for anything else."""
    return well_formed(value) if isinstance(value, str) and value else None


def number(value: object) -> float | None:
    """Return a number of usable size as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _LARGEST else None


def whole_or_none(value: object) -> int | None:
    """Return an integer of at most 64 bits; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(value) <= _MOST else None


def whole(value: object) -> int:
    """Return an integer of at most 64 bits; 0 for anything else."""
    return whole_or_none(value) or 0


def seconds(value: object) -> float | None:
    """Return a datetime or a number as Unix seconds; None for anything else."""
    return value.timestamp() if isinstance(value, datetime) else number(value)


def as_json(value: object) -> str | None:
    """Return a value as JSON text; None if it is empty or cannot be encoded."""
    if not value:
        return None
    try:
        text = json.dumps(value, ensure_ascii=False, default=lambda part: dict(mapping(part)))
    except (TypeError, ValueError, RecursionError):
        return None
    return well_formed(text)
