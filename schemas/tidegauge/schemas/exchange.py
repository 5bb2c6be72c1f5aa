"""Events of producers: a request, the response to it, and a heartbeat that counts both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal

import msgspec

from tidegauge.schemas.segments import Segment

__all__ = [
    "CUT_OFF_REASONS",
    "DERIVED_CONVERSATION",
    "Capture",
    "CheckOutcome",
    "ErrorKind",
    "ExchangeOutcome",
    "Heartbeat",
    "InterToken",
    "Message",
    "RequestEvent",
    "ResponseEvent",
    "Sampling",
    "Usage",
    "last_message",
    "last_user_message",
    "outcome_of",
    "record_key",
]

DERIVED_CONVERSATION: Final = "derived-"
"""Beginning of the ids of conversations that follow from their texts."""

CUT_OFF_REASONS: Final = frozenset(
    {
        *("length", "max_tokens", "max_output_tokens", "model_length"),
        "model_context_window_exceeded",
    }
)
"""Finish reasons, in lower case, of answers that were cut off at a limit, of several APIs."""

Capture = Literal["full", "redacted", "none"]
"""How much of the text an event carries."""

CheckOutcome = Literal["passed", "failed"]
"""What a check of the output found; a check that was not made is absent, never ``passed``."""


class ErrorKind(StrEnum):
    """How a request failed to give its client a complete, well-formed answer."""

    INVALID_REQUEST = "invalid_request"
    UNAUTHORIZED = "unauthorized"
    UNKNOWN_MODEL = "unknown_model"
    REQUEST_TOO_LARGE = "request_too_large"
    RATE_LIMITED = "rate_limited"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    UPSTREAM_ERROR = "upstream_error"
    UPSTREAM_REJECTED = "upstream_rejected"
    UPSTREAM_INTERRUPTED = "upstream_interrupted"
    CLIENT_DISCONNECTED = "client_disconnected"
    GATEWAY_ERROR = "gateway_error"


ExchangeOutcome = Literal["ok", "failed", "rejected", "cancelled", "pending", "unread"]
"""How an exchange ended.

- ``ok``: the client got a complete answer, or left after it was complete.
- ``failed``: the service failed a client that had done nothing wrong.
- ``rejected``: the request was at fault: its key, its model, its content, its rate.
- ``cancelled``: the client left, or cancelled, before the answer was complete.
- ``pending``: the upstream accepted the request and answers later, in the background.
- ``unread``: the upstream's answer passed in an encoding that the gateway cannot decode, so that
  whether it is one is not known.
"""

_OUTCOMES: Final[Mapping[ErrorKind, ExchangeOutcome]] = {
    ErrorKind.INVALID_REQUEST: "rejected",
    ErrorKind.UNAUTHORIZED: "rejected",
    ErrorKind.UNKNOWN_MODEL: "rejected",
    ErrorKind.REQUEST_TOO_LARGE: "rejected",
    ErrorKind.RATE_LIMITED: "rejected",
    ErrorKind.UPSTREAM_UNREACHABLE: "failed",
    ErrorKind.UPSTREAM_TIMEOUT: "failed",
    ErrorKind.UPSTREAM_ERROR: "failed",
    ErrorKind.UPSTREAM_REJECTED: "rejected",
    ErrorKind.UPSTREAM_INTERRUPTED: "failed",
    ErrorKind.CLIENT_DISCONNECTED: "cancelled",
    ErrorKind.GATEWAY_ERROR: "failed",
}


def outcome_of(error: ErrorKind | None) -> ExchangeOutcome:
    """Return the outcome of an exchange that ended with an error, or without one.

    Example:
        >>> outcome_of(ErrorKind.UPSTREAM_TIMEOUT), outcome_of(ErrorKind.UNAUTHORIZED)
        ('failed', 'rejected')
    """
    return "ok" if error is None else _OUTCOMES[error]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a conversation, as text.

    Attributes:
        role: ``system``, ``user``, ``assistant`` or ``tool``.
        content: Its text; parts that are no text stand as ``[image]``, ``[audio]``.
        tool_calls: The assistant's tool calls as JSON text, when there are any.
    """

    role: str
    content: str = ""
    tool_calls: str | None = None


def last_message(messages: Sequence[Message], role: str) -> str:
    """Return the content of the last message of a role, empty where there is none."""
    return next((message.content for message in reversed(messages) if message.role == role), "")


def last_user_message(messages: Sequence[Message]) -> str:
    """Return the content of the last message of the user, empty where there is none."""
    return last_message(messages, "user")


class Sampling(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The sampling parameters that were sent upstream; None where left to the server."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    n: int | None = None
    response_format: str | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one exchange.

    Attributes:
        input_tokens: Tokens of the prompt.
        output_tokens: Tokens generated.
        estimated: Whether the gateway had to estimate one of the two, since the upstream told
            none that can be true.
        cached_tokens: Tokens of the prompt that the upstream served from its cache; None where
            it did not tell.
        reasoning_tokens: Generated tokens that are not part of the answer; None where it did not
            tell.
    """

    input_tokens: int
    output_tokens: int
    estimated: bool = False
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class InterToken(msgspec.Struct, frozen=True, kw_only=True):
    """Time between the pieces of a streamed answer, in milliseconds."""

    mean_ms: float
    p95_ms: float
    max_ms: float


def record_key(group: str, request_id: str) -> str:
    r"""Return a key of one record alone, whose partition is that of its group.

    Producers choose the partition by the part before the last line feed. A key of its own for
    each record lets a tombstone erase one record and nothing else.

    Args:
        group: What the records of one partition share: a conversation, or a repeated request.
        request_id: The exchange's own id.

    Example:
        >>> record_key("c-7", "r-1"), record_key("r-1", "r-1")
        ('c-7\nr-1', 'r-1')
    """
    return request_id if group == request_id else f"{group}\n{request_id}"


class RequestEvent(msgspec.Struct, frozen=True, tag_field="type", tag="tidegauge.request"):
    """A client asked.

    Attributes:
        request_id: Identity of the exchange, shared with the response.
        producer_id: Who published it: one run of one gateway.
        sequence: Counts this producer's events from 1 without a gap, over all topics.
        time_ms: When the request arrived, Unix milliseconds.
        segment: Slice of the traffic; the version is the one chosen to answer.
        customer: Name of the customer that the client's key belongs to.
        capture: How much of the text the event carries.
        messages: The conversation; empty when nothing is captured.
        prompt_characters: Length of all messages, also when the text is not captured.
        sampling: What was asked of the sampler.
        stream: Whether the answer was asked for piece by piece.
        shadow: Whether it is a copy of a request for a candidate, its answer discarded.
        session: The client's own session label, if it sent one.
        trace_id: W3C trace id, if the client sent a ``traceparent``.
        conversation_id: Conversation of the request, unique within the customer. None if it is
            not known: for an opening whose id follows from an answer that is still to come, and
            for a follow-up of which only the predecessor's id is known.
        turn: Number of the user's turn in the conversation, from 1; at least 2 where the earlier
            turns are not known. None if the producer does not tell.
        step: Number of the request within its turn: 1 brings the user's message, higher ones
            the results of tools.
        repeat_of: The request that this one sends again.
        omitted_characters: Characters of the messages and their tool calls that were cut off;
            marks stand in their places.
        key_id: Id of the client's key, its public part; None where the producer knows none.
        tags: What the application says the request is made with: ``prompt_version``,
            ``experiment``. Untrusted names of at most 60 characters.
    """

    request_id: str
    producer_id: str
    sequence: int
    time_ms: int
    segment: Segment
    customer: str
    capture: Capture = "full"
    messages: tuple[Message, ...] = ()
    prompt_characters: int = 0
    sampling: Sampling = Sampling()
    stream: bool = False
    shadow: bool = False
    session: str | None = None
    trace_id: str | None = None
    conversation_id: str | None = None
    turn: int | None = None
    step: int = 1
    repeat_of: str | None = None
    omitted_characters: int = 0
    key_id: str | None = None
    tags: dict[str, str] = {}
    schema_version: int = 1

    @property
    def is_opening(self) -> bool:
        """Whether the request brings the first message of a conversation, for the first time."""
        return self.turn == 1 and self.step == 1 and self.repeat_of is None

    @property
    def key(self) -> str:
        """Key of its record: the follow-ups of a conversation meet, and repeats of one request.

        Openings are spread by their own ids, so that equal ones do not fill one partition.
        """
        if self.turn != 1 and self.conversation_id is not None:
            return record_key(self.conversation_id, self.request_id)
        return record_key(self.repeat_of or self.request_id, self.request_id)


class ResponseEvent(msgspec.Struct, frozen=True, tag_field="type", tag="tidegauge.response"):
    """A client was answered, or not. Carries the prompt, so that a reader joins nothing.

    Attributes:
        request_id: Identity of the exchange.
        producer_id: Who published it.
        sequence: See ``RequestEvent``.
        time_ms: When the request arrived, Unix milliseconds: the exchange's event time.
        segment: Slice of the traffic.
        customer: Name of the customer.
        capture: How much of the text the event carries.
        messages: The conversation that was answered.
        output: The answer's text (of the first choice), None when not captured or absent.
        output_characters: Length of the answer, also when it is not captured.
        prompt_characters: Length of all messages.
        tool_calls: Tool calls of the answer as JSON text.
        status: HTTP status that the client saw.
        error: How it failed, None when it did not.
        error_detail: One line of the gateway's own words; never text of the client.
        finish_reason: As the upstream told it: ``stop``, ``length``, ``tool_calls`` ….
        checks: Outcome of each output check that was made, by its name.
        latency_ms: From the request's arrival to the last byte.
        time_to_first_token_ms: Until the first piece of the answer; None if not streamed.
        inter_token: Time between the pieces; None if not streamed.
        queue_ms: Time in the upstream's queue, where it tells it.
        usage: Tokens, None where no answer was generated.
        cost_usd: By the model's price, or its share of the GPU's; None without a price.
        upstream: Label of the upstream that answered.
        served_model: The model as the upstream named it.
        served_fingerprint: The upstream's ``system_fingerprint``, if told.
        sampling: What was asked of the sampler.
        stream: Whether it was streamed.
        shadow: Whether the answer was discarded.
        attempts: Upstreams tried, 1 without a retry.
        session: The client's session label.
        trace_id: W3C trace id.
        conversation_id: See ``RequestEvent``; known for openings too, once they are answered.
        turn: See ``RequestEvent``.
        step: See ``RequestEvent``.
        repeat_of: See ``RequestEvent``.
        in_flight: Other requests that the gateway was answering when this one arrived; None
            where nobody counted.
        outcome: How the exchange ended; None of a producer that does not decide it, so that it
            follows from ``error``.
        unread: Names of the answer's fields that were there and could not be read.
        omitted_characters: See ``RequestEvent``.
        retried_ms: From the request's arrival until the upstream that answered was asked, after
            another attempt; None without one.
        omitted_output_characters: Characters of the output and the tool calls that were cut off;
            the checks were made before that.
        key_id: See ``RequestEvent``.
        tags: See ``RequestEvent``.
    """

    request_id: str
    producer_id: str
    sequence: int
    time_ms: int
    segment: Segment
    customer: str
    status: int
    latency_ms: float
    capture: Capture = "full"
    messages: tuple[Message, ...] = ()
    output: str | None = None
    output_characters: int = 0
    prompt_characters: int = 0
    tool_calls: str | None = None
    error: ErrorKind | None = None
    error_detail: str | None = None
    finish_reason: str | None = None
    checks: dict[str, CheckOutcome] = {}
    time_to_first_token_ms: float | None = None
    inter_token: InterToken | None = None
    queue_ms: float | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    upstream: str | None = None
    served_model: str | None = None
    served_fingerprint: str | None = None
    sampling: Sampling = Sampling()
    stream: bool = False
    shadow: bool = False
    attempts: int = 1
    session: str | None = None
    trace_id: str | None = None
    conversation_id: str | None = None
    turn: int | None = None
    step: int = 1
    repeat_of: str | None = None
    in_flight: int | None = None
    outcome: ExchangeOutcome | None = None
    unread: tuple[str, ...] = ()
    omitted_characters: int = 0
    omitted_output_characters: int = 0
    retried_ms: float | None = None
    key_id: str | None = None
    tags: dict[str, str] = {}
    schema_version: int = 1

    @property
    def key(self) -> str:
        """Key of its record: the exchanges of a conversation meet.

        Openings whose id is derived are spread by their own ids, so that equal ones do not fill
        one partition; the follow-ups of such a conversation carry its history.
        """
        if self.conversation_id is None:
            return self.request_id
        if self.turn == 1 and self.conversation_id.startswith(DERIVED_CONVERSATION):
            return self.request_id
        return record_key(self.conversation_id, self.request_id)


class Heartbeat(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="tidegauge.heartbeat"
):
    """What a producer has counted since its run began; the ledger's left-hand side.

    Attributes:
        producer_id: Who counts.
        time_ms: When it was counted.
        served: Requests answered, whatever the status.
        captured: Events appended to the outbox, by topic.
        dropped: Events that could not be captured, by topic and reason.
        shipped: Events acknowledged by the broker, by topic.
        final: Whether the run has ended and the counts will not change.
        refused: Requests refused before they became exchanges, such as those without a key; they
            are neither served nor captured.
    """

    producer_id: str
    time_ms: int
    served: int
    captured: dict[str, int]
    dropped: dict[str, dict[str, int]]
    shipped: dict[str, int]
    final: bool = False
    refused: int = 0
    schema_version: int = 1
