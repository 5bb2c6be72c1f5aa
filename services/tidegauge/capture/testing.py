"""Exchanges as a gateway records them, for tests of what captures, ships or reads them."""

from __future__ import annotations

from collections.abc import Callable

from tidegauge.capture.recorder import Recorder
from tidegauge.schemas.exchange import Message, RequestEvent, ResponseEvent
from tidegauge.schemas.segments import Segment

__all__ = ["SEGMENT", "TIME_MS", "record_exchange", "request", "response"]

SEGMENT = Segment(model="assistant", version="v1", route="/v1/chat/completions")
TIME_MS = 1_767_225_600_000


def request(
    request_id: str, text: str = "When is high tide?"
) -> Callable[[str, int], RequestEvent]:
    """Return a request's event, but for its producer and sequence."""
    return lambda producer_id, sequence: RequestEvent(
        request_id=request_id,
        producer_id=producer_id,
        sequence=sequence,
        time_ms=TIME_MS,
        segment=SEGMENT,
        customer="harbour-office",
        messages=(Message(role="user", content=text),),
    )


def response(request_id: str, output: str = "At 13:42.") -> Callable[[str, int], ResponseEvent]:
    """Return a response's event, but for its producer and sequence."""
    return lambda producer_id, sequence: ResponseEvent(
        request_id=request_id,
        producer_id=producer_id,
        sequence=sequence,
        time_ms=TIME_MS,
        segment=SEGMENT,
        customer="harbour-office",
        status=200,
        latency_ms=12.5,
        output=output,
    )


def record_exchange(recorder: Recorder, request_id: str) -> None:
    """Record one exchange, as a gateway does."""
    recorder.record_request(request(request_id))
    recorder.record_response(response(request_id))
    recorder.served()
