"""The compact record of one exchange, the source of its events and its request log line.

A gateway appends this record instead of events, and the shipper expands it into the events. The
record holds only the text that events may carry. If that is the complete text, the answer is
checked by the shipper, unless the gateway checked it already. If the text was cut off or
redacted, the gateway made the checks before that.

Structs are made with their values in the order of the fields, most of them by position. For more
than fifteen names, or for thirty values and names together, CPython builds a dictionary at each
call, which takes four times as long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from tidegauge.capture.expectations import Expectations
from tidegauge.capture.frame import CompactFormat, Expanded, ExpandFormat
from tidegauge.capture.history import opening_id, read_history
from tidegauge.schemas.codec import rfc3339
from tidegauge.schemas.exchange import (
    Capture,
    CheckOutcome,
    ErrorKind,
    ExchangeOutcome,
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
    "AnswerRecord",
    "CheckLine",
    "ExchangeRecord",
    "LogLine",
    "PendingChecks",
    "expand_format",
]


class PendingChecks(msgspec.Struct, array_like=True, frozen=True):
    """The inputs of an answer's checks that its events do not carry.

    Attributes:
        wanted: The form that the client asked the answer to have.
        refusal: The model's refusal, if the upstream reports it in a field of its own.
        media: Whether the answer has images, sound or files.
    """

    wanted: Expectations
    refusal: str | None
    media: bool = False


class _Line(msgspec.Struct):
    """What each line of the request log begins with.

    Attributes:
        time: When the request arrived, RFC 3339.
        model: The model's name from the configuration, or ``unknown``.
        customer: The customer's name from the key file.
    """

    time: str
    request_id: str
    route: str
    model: str
    version: str
    customer: str


class LogLine(_Line, tag_field="event", tag="request"):
    """One line of the request log, without any of the client's or the model's text.

    Attributes:
        checks: The findings of the checks that the gateway made; None where it left them to the
            shipper, which logs a line of its own for an answer that fails one.
        unread: Names of the answer's fields that could not be read; None without any.
    """

    status: int
    outcome: str | None
    error: str | None
    error_detail: str | None
    finish_reason: str | None
    upstream: str | None
    attempts: int
    stream: bool
    latency_ms: float
    time_to_first_token_ms: float | None
    prompt_characters: int
    response_characters: int
    input_tokens: int | None
    output_tokens: int | None
    checks: dict[str, str] | None
    unread: tuple[str, ...] | None


class CheckLine(_Line, tag_field="event", tag="checks"):
    """A line of the request log about an answer that failed a check, or could not be checked.

    The shipper makes such checks and writes the line, a moment after the request's own. After a
    restart it may write lines again.

    Attributes:
        checks: The findings of all checks that apply.
    """

    checks: Mapping[str, str]


class AnswerRecord(msgspec.Struct, array_like=True, frozen=True):
    """The answer of an exchange; for fields not listed here see ``ResponseEvent``.

    Attributes:
        text: The answer's text.
        checks: The findings of the checks, or the inputs of checks that are still to be made.
        omitted_characters: Characters of the answer's text and tool calls that were cut off;
            None if no text is captured.
    """

    status: int
    latency_ms: float
    error: ErrorKind | None = None
    error_detail: str | None = None
    text: str | None = None
    output_characters: int = 0
    tool_calls: str | None = None
    finish_reason: str | None = None
    served_model: str | None = None
    served_fingerprint: str | None = None
    time_to_first_token_ms: float | None = None
    inter_token: InterToken | None = None
    queue_ms: float | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    upstream: str | None = None
    attempts: int = 1
    checks: dict[str, str] | PendingChecks = {}
    omitted_characters: int | None = None
    outcome: ExchangeOutcome | None = None
    unread: tuple[str, ...] = ()
    retried_ms: float | None = None


class ExchangeRecord(msgspec.Struct, array_like=True, frozen=True):
    """The compact record of an exchange; for fields not listed here see ``RequestEvent``.

    Attributes:
        time_ms: When the request arrived, Unix milliseconds.
        version: Version label of the upstream that answers.
        segment_customer: The customer, if segments are split by customer.
        answer: The answer; None while the exchange is in flight.
        in_flight: Other requests in flight when this one arrived.
        omitted_characters: Characters of the messages and their tool calls that were cut off;
            None if no text is captured.
        key_id: Id of the client's key; empty where none is known.
        tags: See ``capture.tags``.
    """

    request_id: str
    time_ms: int
    route: str
    model: str
    version: str
    customer: str
    capture: Capture
    messages: tuple[Message, ...]
    prompt_characters: int
    sampling: Sampling
    stream: bool
    session: str | None
    trace_id: str | None
    answer: AnswerRecord | None
    segment_customer: str = ""
    shadow: bool = False
    conversation_id: str | None = None
    turn: int | None = None
    repeat_of: str | None = None
    in_flight: int | None = None
    omitted_characters: int | None = None
    step: int = 1
    key_id: str = ""
    tags: dict[str, str] = {}

    def request_event(self, producer_id: str, sequence: int) -> RequestEvent:
        """Return the request's event."""
        return RequestEvent(
            self.request_id,
            producer_id,
            sequence,
            self.time_ms,
            _segment(self.model, self.version, self.route, self.segment_customer),
            self.customer,
            self.capture,
            self.messages,
            self.prompt_characters,
            self.sampling,
            self.stream,
            self.shadow,
            self.session,
            self.trace_id,
            self.conversation_id,
            self.turn,
            self.step,
            self.repeat_of,
            self.omitted_characters or 0,
            self.key_id or None,
            self.tags,
        )

    def response_event(
        self, producer_id: str, sequence: int, findings: Mapping[str, str] | None = None
    ) -> ResponseEvent:
        """Return the response's event.

        Args:
            producer_id: The producer of the event.
            sequence: The event's sequence.
            findings: The findings of checks that the record left to the shipper.

        Raises:
            ValueError: The exchange has no answer.
        """
        answer = self.answer
        if answer is None:
            raise ValueError("a record without an answer stands for a response")
        if findings is None:
            findings = answer.checks if isinstance(answer.checks, dict) else {}
        return ResponseEvent(
            self.request_id,
            producer_id,
            sequence,
            self.time_ms,
            _segment(self.model, self.version, self.route, self.segment_customer),
            self.customer,
            answer.status,
            answer.latency_ms,
            self.capture,
            self.messages,
            answer.text,
            answer.output_characters,
            self.prompt_characters,
            answer.tool_calls,
            answer.error,
            answer.error_detail,
            answer.finish_reason,
            {name: _OUTCOMES[it] for name, it in findings.items() if it in _OUTCOMES},
            answer.time_to_first_token_ms,
            answer.inter_token,
            answer.queue_ms,
            answer.usage,
            answer.cost_usd,
            answer.upstream,
            answer.served_model,
            answer.served_fingerprint,
            self.sampling,
            self.stream,
            self.shadow,
            answer.attempts,
            self.session,
            self.trace_id,
            self.conversation_id,
            self.turn,
            self.step,
            self.repeat_of,
            self.in_flight,
            answer.outcome,
            answer.unread,
            self.omitted_characters or 0,
            answer.omitted_characters or 0,
            answer.retried_ms,
            self.key_id or None,
            self.tags,
        )

    def log_line(self, answer: AnswerRecord) -> LogLine:
        """Return the exchange's line of the request log, times in whole microseconds."""
        first, usage = answer.time_to_first_token_ms, answer.usage
        return LogLine(
            rfc3339(self.time_ms),
            self.request_id,
            self.route,
            self.model,
            self.version,
            self.customer,
            answer.status,
            answer.outcome,
            answer.error,
            answer.error_detail,
            answer.finish_reason,
            answer.upstream,
            answer.attempts,
            self.stream,
            # ``round`` costs five times as much as truncating.
            latency_ms=int(answer.latency_ms * 1e3) / 1e3,
            time_to_first_token_ms=None if first is None else int(first * 1e3) / 1e3,
            prompt_characters=self.prompt_characters,
            response_characters=answer.output_characters,
            input_tokens=None if usage is None else usage.input_tokens,
            output_tokens=None if usage is None else usage.output_tokens,
            checks=answer.checks if isinstance(answer.checks, dict) else None,
            unread=answer.unread or None,
        )

    def check_line(self, findings: Mapping[str, str]) -> CheckLine:
        """Return the line of the request log about findings that the shipper made."""
        return CheckLine(
            time=rfc3339(self.time_ms),
            request_id=self.request_id,
            route=self.route,
            model=self.model,
            version=self.version,
            customer=self.customer,
            checks=findings,
        )


_OUTCOMES: Final[Mapping[str, CheckOutcome]] = {"passed": "passed", "failed": "failed"}
"""Findings that events carry; a check that was not made is absent."""

_NAME: Final = "tidegauge.exchange.5"
_encode: Final[Callable[[Sequence[ExchangeRecord]], bytes]] = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[ExchangeRecord]).decode

BOTH: Final = CompactFormat(_NAME, (REQUESTS, RESPONSES), _encode)
REQUEST: Final = CompactFormat(_NAME, (REQUESTS,), _encode)
RESPONSE: Final = CompactFormat(_NAME, (RESPONSES,), _encode)


def expand_format(
    check: Callable[[ExchangeRecord, AnswerRecord, PendingChecks], Mapping[str, str]],
    conversation_secret: bytes = b"",
    labelled: Callable[[ExchangeRecord], ExchangeRecord] | None = None,
) -> ExpandFormat[ExchangeRecord]:
    """Return the format that expands exchange records into events.

    Args:
        check: Makes the checks that were left to the shipper; returns check -> finding.
        conversation_secret: Key of the ids of conversations that the client gives none.
        labelled: Adds dimensions to a record's version; None adds none.
    """

    def expand(
        record: ExchangeRecord, topics: Sequence[str], producer_id: str, first_sequence: int
    ) -> Expanded:
        record = _with_conversation(record, conversation_secret)
        request = record
        if labelled is not None:
            # A request that waits long is shipped before its answer, so none has what that tells.
            request = labelled(msgspec.structs.replace(record, answer=None))
            record = labelled(record)
        events: list[RequestEvent | ResponseEvent] = []
        facts: list[str] = []
        for sequence, topic in enumerate(topics, first_sequence):
            if topic == REQUESTS.name:
                events.append(request.request_event(producer_id, sequence))
                continue
            answer, findings = record.answer, None
            if answer is not None:
                checks = answer.checks
                findings = checks if isinstance(checks, dict) else check(record, answer, checks)
                if not record.shadow:
                    facts += [f"{name}/{finding}" for name, finding in findings.items()]
            events.append(record.response_event(producer_id, sequence, findings))
        return Expanded(events, facts)

    return ExpandFormat(_decode, expand)


def _with_conversation(record: ExchangeRecord, secret: bytes) -> ExchangeRecord:
    """Return the record of an answered opening with its conversation's id.

    The gateway leaves the id to the shipper where the record has the whole text.
    """
    answer, messages = record.answer, record.messages
    if record.conversation_id is not None or record.turn != 1 or record.shadow:
        return record
    if answer is None or answer.outcome != "ok" or record.capture != "full":
        return record
    if record.omitted_characters or answer.omitted_characters:
        return record
    question = messages[read_history(messages).question :]
    found = opening_id(secret, record.customer, question, answer.text, answer.tool_calls)
    return msgspec.structs.replace(record, conversation_id=found)


@lru_cache(maxsize=512)
def _segment(model: str, version: str, route: str, customer: str) -> Segment:
    return Segment(model=model, version=version, route=route, customer=customer)
