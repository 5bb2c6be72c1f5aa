"""The place of a LiteLLM exchange in its conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from tidegauge.capture.exchange_record import ExchangeRecord
from tidegauge.capture.history import Told, given_id, id_in_metadata
from tidegauge.capture.placement import Conversations
from tidegauge.capture.tags import tags_in

__all__ = ["Answered", "with_conversation"]

_HEADERS: Final = ("x-session-id", "x-litellm-session-id")
_REDACTED: Final = "redacted-by-litellm"
"""What LiteLLM puts in place of texts that it is set not to log."""

Json = Mapping[str, Any]


class Answered(NamedTuple):
    """How a request was answered.

    Attributes:
        text: The answer's text.
        tool_calls: The answer's tool calls as JSON text.
        response_id: Id of the answer that a later request may name as its predecessor.
        end_ms: When it was complete, Unix milliseconds.
        failed: Whether the client got no complete answer.
    """

    text: str | None = None
    tool_calls: str | None = None
    response_id: str | None = None
    end_ms: int = 0
    failed: bool = False


def with_conversation(
    record: ExchangeRecord, conversations: Conversations, request: Json, said: Json, ended: Answered
) -> ExchangeRecord:
    """Return the record of an exchange with its tags and, unless its texts are hidden, its place.

    Args:
        record: The record, with the messages as the client sent them.
        conversations: Finds the places.
        request: What the proxy received, with ``headers`` and ``body``; empty in the library.
        said: LiteLLM's own account of the call.
        ended: How the request was answered.
    """
    caller, messages = record.customer, record.messages
    record = msgspec.structs.replace(record, tags=_tags(request))
    if any(message.content == _REDACTED for message in messages):
        return record
    told = _told(request, said)
    place = conversations.place(caller, record.request_id, messages, record.time_ms, told)
    conversations.answered(
        *(place, caller, messages, ended.text, ended.tool_calls),
        response_id=ended.response_id,
        failed=ended.failed,
        now_ms=ended.end_ms,
    )
    return msgspec.structs.replace(
        record,
        conversation_id=place.conversation_id,
        turn=place.turn,
        step=place.step,
        repeat_of=place.repeat_of,
    )


def _told(request: Json, said: Json) -> Told:
    headers, body = _mapping(request.get("headers")), _mapping(request.get("body"))
    known = body.get("conversation")
    if isinstance(known, Mapping):
        known = known.get("id")
    given = (
        *(headers.get(name) for name in _HEADERS),
        *(body.get("litellm_session_id"), known),
        *(id_in_metadata(body.get("metadata")), said.get("session_id")),
    )
    key, retries = headers.get("idempotency-key"), headers.get("x-stainless-retry-count")
    return Told(
        next(filter(None, map(given_id, given)), None),
        given_id(body.get("previous_response_id")),
        key if isinstance(key, str) and key else None,
        retries not in {None, "0"} and isinstance(retries, str),
    )


def _tags(request: Json) -> dict[str, str]:
    """Return the tags that a client gave the proxy, in a header or in its request's metadata."""
    headers = {
        name.encode("latin-1", "replace"): value.encode("latin-1", "replace")
        for name, value in _mapping(request.get("headers")).items()
        if isinstance(name, str) and isinstance(value, str)
    }
    return tags_in(_mapping(request.get("body")).get("metadata"), headers)


def _mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}
