"""The state of one exchange in the gateway, with a value for each stage of processing."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from math import ceil
from random import getrandbits
from typing import Final, NamedTuple

import msgspec

from tidegauge.capture.text import CapturedMessages
from tidegauge.gateway.apis import AnswerCollector, ParsedAnswer, ParsedRequest
from tidegauge.gateway.policy.keys import Customer
from tidegauge.gateway.policy.limiter import Reservation
from tidegauge.gateway.proxy.upstreams import Attempt
from tidegauge.schemas.exchange import Capture, ErrorKind, InterToken, Usage

__all__ = ["NOBODY", "AnswerProgress", "Arrival", "Exchange", "Fault", "Outcome", "StreamTiming"]

NOBODY: Final = Customer(name="unknown", key_id="unknown")
"""Customer of a request without a valid key."""

_SESSION: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_MOST_GAPS: Final = 65_536


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


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an exchange ended.

    Attributes:
        status: HTTP status that the client saw.
        fault: How the exchange failed; None if it did not.
        answer: The upstream's answer.
        usage: Tokens of the prompt and the answer.
        cost_usd: Cost of the exchange.
        latency_seconds: Time from arrival to the end.
    """

    status: int
    fault: Fault | None
    answer: ParsedAnswer
    usage: Usage | None
    cost_usd: float | None
    latency_seconds: float


class StreamTiming:
    """Arrival times of a streamed answer's pieces, in seconds on one monotonic clock.

    Attributes:
        first: When the first piece arrived; None before that.
        pieces: The number of pieces so far.

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
        """Add a piece that arrived at a moment."""
        self.pieces += 1
        if self.first is None:
            self.first = moment
        elif len(self._gaps) < _MOST_GAPS:
            self._gaps.append(moment - self._last)
        self._last = moment

    def summary(self) -> InterToken | None:
        """Return the inter-token latency; None for fewer than two pieces."""
        if not self._gaps:
            return None
        gaps = sorted(self._gaps)
        return InterToken(
            mean_ms=sum(gaps) / len(gaps) * 1e3,
            p95_ms=gaps[ceil(0.95 * len(gaps)) - 1] * 1e3,
            max_ms=gaps[-1] * 1e3,
        )


class AnswerProgress:
    """The state of an answer while it is relayed from the upstream to the client.

    Attributes:
        begun: Whether the answer's head has been sent.
        timing: Arrival times of the answer's pieces.
        collector: Assembles a streamed answer.
        discarded: Usage of an earlier answer that was not passed on.
        findings: Findings of the answer's checks, if the gateway made them.
    """

    __slots__ = ("begun", "collector", "discarded", "findings", "timing")

    def __init__(self) -> None:
        self.begun = False
        self.timing = StreamTiming()
        self.collector: AnswerCollector | None = None
        self.discarded: Usage | None = None
        self.findings: dict[str, str] | None = None


class Exchange:
    """One request and its answer, filled in stage by stage.

    Attributes:
        arrival: The data from the request's headers.
        in_flight: Other requests in flight when this one arrived.
        customer: The customer.
        asked: The parsed request; None before it is parsed.
        attempt: The current attempt; None before a target is chosen.
        reservation: The reservation of the customer's limits.
        capture: How much text events may carry; ``none`` before the request is admitted.
        captured: The messages as events may carry them; None before they are computed.
        delivery: The state of the answer while it is relayed.
        client_left: Whether the client has disconnected.
        outcome: How the exchange ended; None while it is in flight.
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
        self.captured: CapturedMessages | None = None
        self.delivery = AnswerProgress()
        self.client_left = False
        self.outcome: Outcome | None = None

    @classmethod
    def begin(cls, route: str, headers: Mapping[bytes, bytes]) -> Exchange:
        """Begin an exchange; malformed session labels and trace contexts are ignored."""
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
        """Return the exchange of a mirrored copy of this request."""
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
