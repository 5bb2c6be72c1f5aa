"""What is known of one request while it is answered."""

from __future__ import annotations

import time
from random import getrandbits
from typing import Final, NamedTuple

import msgspec

from tidegauge.gateway.apis import AnswerCollector, ParsedAnswer, ParsedRequest
from tidegauge.gateway.policy.checks import Finding
from tidegauge.gateway.policy.keys import Customer
from tidegauge.gateway.policy.limiter import Reservation
from tidegauge.gateway.proxy.stream_timing import StreamTiming
from tidegauge.gateway.proxy.upstreams import Target
from tidegauge.schemas.exchange import (
    Capture,
    ErrorKind,
    Message,
    Sampling,
    Usage,
)

__all__ = ["NOBODY", "UNKNOWN", "Exchange", "Fault", "Outcome"]

UNKNOWN = "unknown"
"""Model of a request that names none that is configured."""

_NO_SAMPLING: Final = Sampling()

NOBODY = Customer(name=UNKNOWN, key_id=UNKNOWN)
"""Customer of a request without a valid key."""


class Fault(NamedTuple):
    """How an exchange failed.

    Attributes:
        kind: Its kind.
        detail: One line in the gateway's own words.
    """

    kind: ErrorKind
    detail: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an exchange ended.

    Attributes:
        status: HTTP status that the client saw.
        error: How it failed.
        detail: In the gateway's own words.
        answer: What the upstream answered.
        usage: Tokens.
        cost_usd: What it cost.
        latency_seconds: From arrival to the end.
    """

    status: int
    error: ErrorKind | None
    detail: str | None
    answer: ParsedAnswer
    usage: Usage | None
    cost_usd: float | None
    latency_seconds: float


class Exchange:
    """One request on its way.

    Attributes:
        request_id: Its identity.
        route: The gateway's route.
        session: The client's session label.
        traceparent: The client's trace context, to be passed on.
        arrived_ms: Unix milliseconds.
        started: The same moment on the monotonic clock, in seconds.
        customer: Who asks.
        asked: What is asked, once it has been understood.
        prompt_characters: Length of what is asked.
        messages: The conversation as events may carry it, once that has been settled.
        capture: How much text events may carry.
        target: Who answers, once it has been chosen.
        version: Its version label.
        taken: Whether the target is at work on it.
        clock_reading: The target's clock when it began.
        server_seconds: The exchange's share of the server's time, once it is known.
        reservation: What was taken from the customer's limits.
        begun: Whether the answer's head has been sent.
        discarded: Usage of an answer that was not passed on.
        checks: What the checks of the answer found, where they had to be made at once.
        shadow: Whether it is a copy for a candidate.
        client_left: Whether the client has gone.
        collector: Puts a streamed answer together.
        outcome: How it ended; None while it goes on.
    """

    __slots__ = (
        "arrived_ms",
        "asked",
        "attempts",
        "begun",
        "capture",
        "checks",
        "client_left",
        "clock_reading",
        "collector",
        "customer",
        "discarded",
        "messages",
        "model",
        "outcome",
        "pace",
        "prompt_characters",
        "request_id",
        "reservation",
        "route",
        "sampling",
        "server_seconds",
        "session",
        "shadow",
        "started",
        "taken",
        "target",
        "traceparent",
        "version",
    )

    def __init__(
        self, route: str, *, session: str | None = None, traceparent: str | None = None
    ) -> None:
        self.arrived_ms = time.time_ns() // 1_000_000
        self.started = time.perf_counter()
        self.request_id = f"req-{getrandbits(128):032x}"
        self.route = route
        self.session = session
        self.traceparent = traceparent
        self.pace = StreamTiming()
        self.customer: Customer = NOBODY
        self.model = UNKNOWN
        self.asked: ParsedRequest | None = None
        self.prompt_characters = 0
        self.messages: tuple[Message, ...] = ()
        self.capture: Capture = "none"
        self.sampling = _NO_SAMPLING
        self.target: Target | None = None
        self.version = ""
        self.taken = False
        self.clock_reading = self.server_seconds = 0.0
        self.reservation: Reservation | None = None
        self.collector: AnswerCollector | None = None
        self.begun = False
        self.discarded: Usage | None = None
        self.checks: dict[str, Finding] | None = None
        self.client_left = self.shadow = False
        self.attempts = 1
        self.outcome: Outcome | None = None

    @property
    def trace_id(self) -> str | None:
        """Return the W3C trace id."""
        return None if self.traceparent is None else self.traceparent.split("-")[1]

    def choose(self, target: Target) -> None:
        """A target is to answer, sampling as its configuration has it."""
        self.target, self.version = target, target.upstream.version
        if self.asked is not None:
            self.sampling = target.sampling(self.asked.sampling)

    def take(self, target: Target, attempt: int) -> None:
        """A target begins to work on the request."""
        if target is not self.target:
            self.choose(target)
        self.attempts, self.taken = attempt, True
        self.clock_reading = target.clock.enter(time.perf_counter())
        target.in_flight += 1

    def release(self) -> None:
        """The target has finished, or has been given up; safe to call twice."""
        if self.target is not None and self.taken:
            self.taken = False
            self.target.in_flight -= 1
            reading = self.target.clock.leave(time.perf_counter())
            self.server_seconds += reading - self.clock_reading

    def discard(self, usage: Usage | None) -> None:
        """The target's answer is not passed on, but must be paid for."""
        self.release()
        self.discarded = usage

    def shadowed(self) -> Exchange:
        """Return a record for a copy of this request; its answer will be discarded."""
        copy = Exchange(self.route, session=self.session, traceparent=self.traceparent)
        copy.shadow = True
        copy.customer, copy.model, copy.asked = self.customer, self.model, self.asked
        copy.prompt_characters = self.prompt_characters
        return copy
