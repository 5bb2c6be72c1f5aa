"""The state of one exchange in the gateway, filled in stage by stage, and the record of it."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from random import getrandbits
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from tidegauge.capture.answer import Ending, ParsedAnswer
from tidegauge.capture.exchange_record import AnswerRecord, ExchangeRecord, PendingChecks
from tidegauge.capture.history import NOTHING_TOLD, Told, given_id
from tidegauge.capture.metadata_context import context_in_metadata, with_context
from tidegauge.capture.placement import Placement
from tidegauge.capture.tags import NO_TAGS, TAG_HEADERS, tags_in
from tidegauge.capture.text_limits import CapturedMessages, captured_messages, captured_text
from tidegauge.gateway.apis import NOTHING_EXPECTED, AnswerCollector, ParsedRequest
from tidegauge.gateway.policy.checks import check_wording, forms_unchecked
from tidegauge.gateway.policy.keys import Customer
from tidegauge.gateway.policy.limiter import Reservation
from tidegauge.gateway.proxy.upstreams import Attempt
from tidegauge.schemas.exchange import (
    Capture,
    ErrorKind,
    InterToken,
    Message,
    Sampling,
    Usage,
)

__all__ = [
    "NOBODY",
    "RETRY_HEADERS",
    "Arrival",
    "CapturePolicy",
    "Conclusion",
    "Exchange",
    "Fault",
]

NOBODY: Final = Customer(name="unknown", key_id="unknown")
"""Customer of a request without a valid key."""

_SESSION: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_UNKNOWN: Final = "unknown"
_NO_SAMPLING: Final = Sampling()
_NOWHERE: Final = Placement(
    request_id="", sent=0, last_ms=0, conversation_id=None, turn=0, step=1, question=0
)
"""The place of a request that is not admitted."""

RETRY_HEADERS: Final = (b"idempotency-key", b"x-stainless-retry-count")


def new_request_id(time_ms: int) -> str:
    """Return a new request's id: when it arrived, by which the log is searched, and 80 random bits.

    Args:
        time_ms: When it arrived, Unix milliseconds.
    """
    return f"req-{time_ms:012x}{getrandbits(80):020x}"


@dataclass(frozen=True, slots=True)
class CapturePolicy:
    """How much text events carry, and how segments are split.

    Attributes:
        capture: How much text to capture, unless the key sets it.
        characters: Most characters of messages, of an answer's text and of its tool calls in an
            event.
        by_customer: Whether segments are split by customer.
        conversation_headers: Request headers that hold a conversation's id, in lower case.
        conversation_secret: Key of the ids of conversations that the client gives none.
        context_fields: Fields of a request's metadata that hold context.
    """

    capture: Capture = "full"
    characters: int = 65_536
    by_customer: bool = False
    conversation_headers: Sequence[bytes] = (b"x-session-id",)
    conversation_secret: bytes = b""
    context_fields: Sequence[str] = ()


class Arrival(msgspec.Struct, frozen=True):
    """The data of a request that are known once its headers have arrived.

    Attributes:
        request_id: Id of the exchange.
        route: The gateway's route.
        time_ms: Time of arrival, Unix milliseconds.
        started: Time of arrival on the monotonic clock, in seconds.
        session: The client's session label.
        traceparent: Trace context to send to the upstream.
        shadow: Whether the request is a copy for a candidate.
    """

    request_id: str
    route: str
    time_ms: int
    started: float
    session: str | None = None
    traceparent: str | None = None
    shadow: bool = False


class Fault(NamedTuple):
    """How an exchange failed.

    Attributes:
        kind: Kind of the error.
        detail: One line of description, without text of the client.
    """

    kind: ErrorKind
    detail: str


class Conclusion(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an exchange ended, and what it used.

    Attributes:
        status: HTTP status that the client saw.
        ending: Its outcome, with the error if there is one.
        answer: The upstream's answer.
        usage: Tokens of the prompt and the answer.
        cost_usd: Cost of the exchange.
        latency_seconds: Time from arrival to the end.
    """

    status: int
    ending: Ending
    answer: ParsedAnswer
    usage: Usage | None
    cost_usd: float | None
    latency_seconds: float


class Exchange(msgspec.Struct, eq=False):
    """One request and its answer, filled in stage by stage.

    Attributes:
        arrival: The data from the request's headers.
        headers: The request's headers, names in lower case.
        in_flight: Other requests in flight when this one arrived.
        customer: The customer.
        asked: The parsed request; None before it is parsed.
        attempt: The current attempt; None before a target is chosen.
        reservation: The reservation of the customer's limits.
        placement: The request's place in a conversation; None before the request is admitted.
        capture: How much text events may carry; ``none`` before the request is admitted.
        captured: The messages as events may carry them; None before they are computed.
        begun: Whether the answer's head has been sent.
        collector: Assembles a streamed answer.
        first_piece: When the first piece of a streamed answer arrived, in seconds on the clock of
            ``Arrival.started``; None before that.
        last_piece: When the last piece arrived.
        gaps: Seconds between the pieces so far, at most 65,536 of them.
        discarded: Usage of an earlier answer that was not passed on.
        findings: Findings of the answer's checks, if the gateway made them.
        client_left: Whether the client has disconnected.
        conclusion: How the exchange ended; None while it is in flight.
    """

    arrival: Arrival
    headers: Mapping[bytes, bytes] = MappingProxyType({})
    in_flight: int | None = None
    customer: Customer = NOBODY
    asked: ParsedRequest | None = None
    attempt: Attempt | None = None
    reservation: Reservation | None = None
    placement: Placement | None = None
    capture: Capture = "none"
    captured: CapturedMessages | None = None
    begun: bool = False
    collector: AnswerCollector | None = None
    first_piece: float | None = None
    last_piece: float = 0.0
    gaps: list[float] = []
    discarded: Usage | None = None
    findings: dict[str, str] | None = None
    client_left: bool = False
    conclusion: Conclusion | None = None

    @classmethod
    def begin(cls, route: str, headers: Mapping[bytes, bytes]) -> Exchange:
        """Begin an exchange; malformed session labels and trace contexts are ignored."""
        session, trace = headers.get(b"x-session-id"), headers.get(b"traceparent")
        time_ms = time.time_ns() // 1_000_000
        return cls(
            Arrival(
                new_request_id(time_ms),
                route,
                time_ms,
                time.perf_counter(),
                session.decode() if session and _SESSION.fullmatch(session) else None,
                trace.decode() if trace and _TRACEPARENT.fullmatch(trace) else None,
            ),
            headers,
        )

    def told(self, names: Sequence[bytes]) -> Told:
        """Return what the client says of the request's place in a conversation.

        Args:
            names: Headers that hold a conversation's id, in order of preference.
        """
        headers, asked = self.headers, self.asked
        conversation = None
        for name in names:
            if name in headers:
                conversation = conversation or given_id(headers[name].decode("latin-1"))
        predecessor = None
        if asked is not None:
            conversation, predecessor = conversation or asked.conversation, asked.predecessor
        key = headers.get(b"idempotency-key")
        retry = headers.get(b"x-stainless-retry-count", b"0") != b"0"
        told = Told(
            conversation, predecessor, None if key is None else key.decode("latin-1"), retry
        )
        return NOTHING_TOLD if told == NOTHING_TOLD else told

    def record(self, policy: CapturePolicy, conclusion: Conclusion | None) -> ExchangeRecord:
        """Return the compact record.

        Args:
            policy: How much text it carries.
            conclusion: How the exchange ended; None for a record without an answer.
        """
        arrival, asked, attempt = self.arrival, self.asked, self.attempt
        customer, trace = self.customer.name, arrival.traceparent
        messages, omitted = ((), 0) if asked is None else self.messages_of(policy, asked)
        context: Sequence[Message] = ()
        if asked is not None and asked.metadata is not None and self.capture != "none":
            context = context_in_metadata(asked.metadata, policy.context_fields)
            captured, most = self.messages_of(policy, asked), policy.characters
            messages, omitted = with_context(captured, context, self.capture, most)
        place = self.placement or _NOWHERE
        return ExchangeRecord(
            arrival.request_id,
            arrival.time_ms,
            arrival.route,
            _UNKNOWN if attempt is None else attempt.target.name,
            "" if attempt is None else attempt.target.upstream.version,
            customer,
            self.capture,
            messages,
            0 if asked is None else sum([len(message.content) for message in asked.messages]),
            _NO_SAMPLING if attempt is None else attempt.sampling,
            asked is not None and asked.stream,
            arrival.session,
            None if trace is None else trace.split("-")[1],
            None if conclusion is None else self._answer_record(policy, conclusion),
            customer if policy.by_customer else "",
            arrival.shadow,
            place.conversation_id,
            place.turn or None,
            place.repeat_of,
            self.in_flight,
            None if self.capture == "none" else omitted,
            place.step,
            self.customer.key_id,
            self._tags(),
        )

    def _answer_record(self, policy: CapturePolicy, conclusion: Conclusion) -> AnswerRecord:
        capture, limit = self.capture, policy.characters
        answer, ending, attempt = conclusion.answer, conclusion.ending, self.attempt
        first, started = self.first_piece, self.arrival.started
        text, omitted = answer.text, 0
        calls, omitted_calls = None, 0
        characters = 0 if text is None else len(text)
        if capture != "full" or characters > limit:
            text, omitted = captured_text(text, capture, limit)
        if answer.tool_calls is not None:
            calls, omitted_calls = captured_text(answer.tool_calls, capture, limit)
        record = AnswerRecord(
            conclusion.status,
            conclusion.latency_seconds * 1e3,
            ending.error,
            ending.detail,
            text,
            characters,
            calls,
            answer.finish_reason,
            answer.model,
            answer.fingerprint,
            None if first is None else (first - started) * 1e3,
            self.inter_token() if self.gaps else None,
            answer.queue_ms,
            conclusion.usage,
            conclusion.cost_usd,
            None if attempt is None else attempt.target.label,
            1 if attempt is None else attempt.number,
            self._checks(policy, conclusion),
            None if capture == "none" else omitted + omitted_calls,
            ending.outcome,
            answer.unread,
        )
        if attempt is None or not attempt.again_at:
            return record
        return msgspec.structs.replace(record, retried_ms=(attempt.again_at - started) * 1e3)

    def _checks(
        self, policy: CapturePolicy, conclusion: Conclusion
    ) -> dict[str, str] | PendingChecks:
        """Return the findings, or the inputs that the shipper needs to make the checks."""
        asked, answer, findings = self.asked, conclusion.answer, self.findings
        if findings is not None:
            return findings
        if asked is None or conclusion.ending.outcome != "ok" or not answer.generated:
            return {}
        if self.carries_all(policy, asked, answer):
            return PendingChecks(asked.expectations, answer.refusal, answer.media)
        # This runs in the event loop. Forms that had to be checked already were (``must_check``).
        return check_wording(asked.messages, answer) | forms_unchecked(
            asked.expectations, answer, "busy"
        )

    def carries_all(
        self, policy: CapturePolicy, asked: ParsedRequest, answer: ParsedAnswer
    ) -> bool:
        """Whether the record carries all the text that the checks need."""
        limit = policy.characters
        return (
            self.capture == "full"
            and self.messages_of(policy, asked).messages is asked.messages
            and len(answer.text or "") <= limit
            and len(answer.tool_calls or "") <= limit
            and (asked.expectations is NOTHING_EXPECTED or asked.expectations.size() <= limit)
        )

    def messages_of(self, policy: CapturePolicy, asked: ParsedRequest) -> CapturedMessages:
        """Return the captured messages; the same tuple if they are captured in full."""
        captured = self.captured
        if captured is None:
            captured = self.captured = captured_messages(
                asked.messages, self.capture, policy.characters
            )
        return captured

    def _tags(self) -> dict[str, str]:
        """Return what the request says that it is made with: nothing, in most."""
        metadata = None if self.asked is None else self.asked.metadata
        if metadata is None and self.headers.keys().isdisjoint(TAG_HEADERS):
            return NO_TAGS
        return tags_in(metadata, self.headers)

    def inter_token(self) -> InterToken:
        """Return the inter-token latency of an answer of two pieces or more.

        Example:
            >>> exchange = Exchange.begin("/v1/chat/completions", {})
            >>> exchange.gaps += [0.25, 0.5]
            >>> exchange.inter_token()
            InterToken(mean_ms=375.0, p95_ms=500.0, max_ms=500.0)
        """
        ordered = sorted(self.gaps)
        return InterToken(
            mean_ms=sum(ordered) / len(ordered) * 1e3,
            p95_ms=ordered[ceil(0.95 * len(ordered)) - 1] * 1e3,
            max_ms=ordered[-1] * 1e3,
        )

    def shadowed(self) -> Exchange:
        """Return the exchange of a mirrored copy of this request."""
        time_ms = time.time_ns() // 1_000_000
        copy = Exchange(
            msgspec.structs.replace(
                self.arrival,
                request_id=new_request_id(time_ms),
                time_ms=time_ms,
                started=time.perf_counter(),
                shadow=True,
            )
        )
        copy.customer, copy.asked, copy.placement = self.customer, self.asked, self.placement
        return copy
