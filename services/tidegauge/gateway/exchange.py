"""One request on its way through the gateway: a value for each stage that it has reached."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from math import ceil
from random import getrandbits
from typing import Final, NamedTuple

import msgspec

from tidegauge.gateway.apis import AnswerCollector, ParsedAnswer, ParsedRequest
from tidegauge.gateway.policy.keys import Customer
from tidegauge.gateway.policy.limiter import Reservation
from tidegauge.gateway.proxy.upstreams import Attempt
from tidegauge.schemas.exchange import Capture, ErrorKind, InterToken, Message, Usage

__all__ = ["NOBODY", "AnswerProgress", "Arrival", "Exchange", "Fault", "Outcome", "StreamTiming"]

NOBODY: Final = Customer(name="unknown", key_id="unknown")
"""Customer of a request without a valid key."""

_SESSION: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_MOST_GAPS: Final = 65_536


class Arrival(msgspec.Struct, frozen=True):
    """What is known when a request's headers are there.

    Attributes:
        request_id: Identity of the exchange.
        route: The gateway's route.
        time_ms: Unix milliseconds.
        started: The same moment on the monotonic clock, in seconds.
        session: The client's session label.
        traceparent: Trace context that goes upstream.
        shadow: Whether it is a copy for a candidate.
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
        detail: One line in the gateway's own words.
    """

    kind: ErrorKind
    detail: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an exchange ended.

    Attributes:
        status: HTTP status that the client saw.
        fault: How it failed; None if it did not.
        answer: What the upstream answered.
        usage: Tokens.
        cost_usd: What it cost.
        latency_seconds: From arrival to the end.
    """

    status: int
    fault: Fault | None
    answer: ParsedAnswer
    usage: Usage | None
    cost_usd: float | None
    latency_seconds: float


class StreamTiming:
    """Moments of the pieces of a streamed answer, in seconds of one monotonic clock.

    Attributes:
        first: When the first piece came, None before.
        pieces: How many have come.

    Example:
        >>> timing = StreamTiming()
        >>> for moment in (1.0, 1.25, 1.75): timing.add(moment)
        >>> timing.summary()
        InterToken(mean_ms=375.0, p95_ms=500.0, max_ms=500.0)
    """

    __slots__ = ("_gaps", "_last", "first", "pieces")

    def __init__(self) -> None:
        self.first: float | None = None
        self.pieces = 0
        self._last = 0.0
        self._gaps: list[float] = []

    def add(self, moment: float) -> None:
        """Count a piece."""
        self.pieces += 1
        if self.first is None:
            self.first = moment
        elif len(self._gaps) < _MOST_GAPS:
            self._gaps.append(moment - self._last)
        self._last = moment

    def summary(self) -> InterToken | None:
        """Return the time between pieces; None for fewer than two."""
        if not self._gaps:
            return None
        gaps = sorted(self._gaps)
        return InterToken(
            mean_ms=sum(gaps) / len(gaps) * 1e3,
            p95_ms=gaps[ceil(0.95 * len(gaps)) - 1] * 1e3,
            max_ms=gaps[-1] * 1e3,
        )


class AnswerProgress:
    """The answer while it comes from the upstream and goes to the client.

    Attributes:
        begun: Whether the answer's head has been sent.
        timing: When its pieces came.
        collector: Puts a streamed answer together.
        discarded: Usage of an earlier answer that was not passed on.
        findings: Findings of the answer's checks, where they had to be made at once.
    """

    __slots__ = ("begun", "collector", "discarded", "findings", "timing")

    def __init__(self) -> None:
        self.begun = False
        self.timing = StreamTiming()
        self.collector: AnswerCollector | None = None
        self.discarded: Usage | None = None
        self.findings: dict[str, str] | None = None


class Exchange:
    """One request and its answer, stage by stage.

    Attributes:
        arrival: What its headers said.
        in_flight: Other requests that were being answered when it arrived.
        customer: Who asks.
        asked: What is asked, once it has been understood.
        attempt: Which target answers, once it has been chosen.
        reservation: What was taken from the customer's limits.
        capture: How much text events may carry; none before the request is admitted.
        captured: The conversation as events may carry it, once that has been decided.
        delivery: The answer on its way.
        client_left: Whether the client has gone.
        outcome: How it ended; None while it goes on.
    """

    __slots__ = (
        "arrival",
        "asked",
        "attempt",
        "capture",
        "captured",
        "client_left",
        "customer",
        "delivery",
        "in_flight",
        "outcome",
        "reservation",
    )

    def __init__(self, arrival: Arrival) -> None:
        self.arrival = arrival
        self.in_flight: int | None = None
        self.customer = NOBODY
        self.asked: ParsedRequest | None = None
        self.attempt: Attempt | None = None
        self.reservation: Reservation | None = None
        self.capture: Capture = "none"
        self.captured: tuple[Message, ...] | None = None
        self.delivery = AnswerProgress()
        self.client_left = False
        self.outcome: Outcome | None = None

    @classmethod
    def begin(cls, route: str, headers: Mapping[bytes, bytes]) -> Exchange:
        """Begin an exchange; labels in its headers that are malformed are left out."""
        session, trace = headers.get(b"x-session-id"), headers.get(b"traceparent")
        return cls(
            Arrival(
                f"req-{getrandbits(128):032x}",
                route,
                time.time_ns() // 1_000_000,
                time.perf_counter(),
                session.decode() if session and _SESSION.fullmatch(session) else None,
                trace.decode() if trace and _TRACEPARENT.fullmatch(trace) else None,
            )
        )

    def shadowed(self) -> Exchange:
        """Return the exchange of a copy of this request; its answer will be discarded."""
        copy = Exchange(
            msgspec.structs.replace(
                self.arrival,
                request_id=f"req-{getrandbits(128):032x}",
                time_ms=time.time_ns() // 1_000_000,
                started=time.perf_counter(),
                shadow=True,
            )
        )
        copy.customer, copy.asked = self.customer, self.asked
        return copy
