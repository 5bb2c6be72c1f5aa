"""What the outbox keeps of an exchange, and the events that the shipper makes of it.

A record holds text only as events may carry it. Where that is all of the text, checking the
answer is left to the shipper, too, unless it has been done already; where it is not, the
checks were made before the text was cut off or redacted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from tidegauge.capture.compact import CompactFormat, Expanded, ExpandFormat
from tidegauge.gateway.apis import Expectations, ParsedAnswer
from tidegauge.gateway.policy.checks import Finding, check
from tidegauge.schemas.exchange import (
    Capture,
    CheckOutcome,
    ErrorKind,
    InterToken,
    Message,
    RequestEvent,
    ResponseEvent,
    Sampling,
    Usage,
)
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.topics import REQUESTS, RESPONSES

__all__ = [
    "BOTH",
    "REQUEST",
    "RESPONSE",
    "UNFOLD",
    "AnswerRecord",
    "ExchangeRecord",
    "PendingChecks",
]


class PendingChecks(msgspec.Struct, array_like=True, frozen=True):
    """What the checks of an answer need beside what its events carry.

    Attributes:
        wanted: What the client asked the answer to look like.
        refusal: The model's own refusal, where the upstream sets it apart.
    """

    wanted: Expectations
    refusal: str | None


class AnswerRecord(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """How the exchange ended; see ``ResponseEvent`` for what is not explained here.

    Attributes:
        text: The answer's text.
        checks: What the checks found, or what they need where they are still to be made.
    """

    status: int
    latency_ms: float
    error: ErrorKind | None
    error_detail: str | None
    text: str | None
    output_characters: int
    tool_calls: str | None
    finish_reason: str | None
    served_model: str | None
    served_fingerprint: str | None
    time_to_first_token_ms: float | None
    inter_token: InterToken | None
    queue_ms: float | None
    usage: Usage | None
    cost_usd: float | None
    upstream: str | None
    attempts: int
    checks: dict[str, Finding] | PendingChecks


class ExchangeRecord(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """An exchange; see ``RequestEvent`` for what is not explained here.

    Attributes:
        time_ms: Unix milliseconds of its arrival.
        version: Version label of who answers.
        tenant: The customer, where segments are split by it.
        reply: How it ended; None while it goes on.
    """

    request_id: str
    time_ms: int
    route: str
    model: str
    version: str
    tenant: str
    customer: str
    capture: Capture
    messages: tuple[Message, ...]
    prompt_characters: int
    sampling: Sampling
    stream: bool
    shadow: bool
    session: str | None
    trace_id: str | None
    reply: AnswerRecord | None


_OUTCOMES: Final[Mapping[Finding, CheckOutcome]] = {"passed": "passed", "failed": "failed"}
"""Findings that events carry; a check that was not made is absent."""

_NAME: Final = "tidegauge.gateway.exchange.2"
_encode: Final[Callable[[Sequence[ExchangeRecord]], bytes]] = msgspec.msgpack.Encoder().encode

BOTH: Final = CompactFormat(_NAME, (REQUESTS, RESPONSES), _encode)
REQUEST: Final = CompactFormat(_NAME, (REQUESTS,), _encode)
RESPONSE: Final = CompactFormat(_NAME, (RESPONSES,), _encode)


def _events(
    record: ExchangeRecord, topics: Sequence[str], producer_id: str, first_sequence: int
) -> Expanded:
    """Make a record's events.

    Raises:
        ValueError: It has no answer, but a response's topic.
    """
    events: list[RequestEvent | ResponseEvent] = []
    noted: list[str] = []
    for sequence, topic in enumerate(topics, first_sequence):
        if topic == REQUESTS.name:
            events.append(_request_event(record, producer_id, sequence))
        else:
            reply = record.reply
            if reply is None:
                raise ValueError("a record without an answer stands for a response")
            findings = _findings(record, reply)
            events.append(_response_event(record, reply, findings, producer_id, sequence))
            if not record.shadow:
                noted += [f"{name}/{finding}" for name, finding in findings.items()]
    return Expanded(events, noted)


UNFOLD: Final = ExpandFormat(msgspec.msgpack.Decoder(list[ExchangeRecord]).decode, _events)


def _request_event(record: ExchangeRecord, producer_id: str, sequence: int) -> RequestEvent:
    return RequestEvent(
        request_id=record.request_id,
        producer_id=producer_id,
        sequence=sequence,
        time_ms=record.time_ms,
        segment=_segment(record.model, record.version, record.route, record.tenant),
        customer=record.customer,
        capture=record.capture,
        messages=record.messages,
        prompt_characters=record.prompt_characters,
        sampling=record.sampling,
        stream=record.stream,
        shadow=record.shadow,
        session=record.session,
        trace_id=record.trace_id,
    )


def _response_event(
    record: ExchangeRecord,
    reply: AnswerRecord,
    findings: Mapping[str, Finding],
    producer_id: str,
    sequence: int,
) -> ResponseEvent:
    return ResponseEvent(
        request_id=record.request_id,
        producer_id=producer_id,
        sequence=sequence,
        time_ms=record.time_ms,
        segment=_segment(record.model, record.version, record.route, record.tenant),
        customer=record.customer,
        status=reply.status,
        latency_ms=reply.latency_ms,
        capture=record.capture,
        messages=record.messages,
        output=reply.text,
        output_characters=reply.output_characters,
        prompt_characters=record.prompt_characters,
        tool_calls=reply.tool_calls,
        error=reply.error,
        error_detail=reply.error_detail,
        finish_reason=reply.finish_reason,
        checks={name: _OUTCOMES[it] for name, it in findings.items() if it in _OUTCOMES},
        time_to_first_token_ms=reply.time_to_first_token_ms,
        inter_token=reply.inter_token,
        queue_ms=reply.queue_ms,
        usage=reply.usage,
        cost_usd=reply.cost_usd,
        upstream=reply.upstream,
        served_model=reply.served_model,
        served_fingerprint=reply.served_fingerprint,
        sampling=record.sampling,
        stream=record.stream,
        shadow=record.shadow,
        attempts=reply.attempts,
        session=record.session,
        trace_id=record.trace_id,
    )


def _findings(record: ExchangeRecord, reply: AnswerRecord) -> dict[str, Finding]:
    unchecked = reply.checks
    if isinstance(unchecked, dict):
        return unchecked
    answer = ParsedAnswer(
        text=reply.text,
        tool_calls=reply.tool_calls,
        refusal=unchecked.refusal,
        finish_reason=reply.finish_reason,
    )
    return check(record.messages, unchecked.wanted, answer)


@lru_cache(maxsize=512)
def _segment(model: str, version: str, route: str, tenant: str) -> Segment:
    return Segment(model=model, version=version, route=route, tenant=tenant)
