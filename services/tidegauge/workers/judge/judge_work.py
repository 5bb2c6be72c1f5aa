"""What judges ask of their servers, as work of those upstreams: a line of the bill.

The calls of all judges count: scores, reasons, qualification runs, answers that cannot be used.
Calls to a gateway are left out, since the gateway's own events have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tidegauge.adapters.vllm import JudgeCall, VllmClient
from tidegauge.cost.work import work_of
from tidegauge.schemas import Segment
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.sketches import JudgeCondition, SketchKind
from tidegauge.streaming.extractor import Extractor, Measurement, Origin
from tidegauge.streaming.upstream_work import WorkPiece

__all__ = ["JUDGES", "WorkExtractor", "pieces_of"]

JUDGES = "judges"
"""The customer that judges' calls are charged to."""


@dataclass(frozen=True, slots=True)
class WorkExtractor:
    """Adds the work of judges' calls to what another extractor measures.

    Attributes:
        inner: The other extractor.
        clients: The clients that the judges ask through.
    """

    inner: Extractor[ResponseEvent]
    clients: Sequence[VllmClient]

    @property
    def kind(self) -> SketchKind:
        """The kind of the other extractor's sketches."""
        return self.inner.kind

    @property
    def reads(self) -> type[ResponseEvent]:
        """The type of event that is measured: responses."""
        return self.inner.reads

    def notices(self) -> tuple[str, ...]:
        """Return the states of the other extractor."""
        return self.inner.notices()

    def conditions(self) -> tuple[JudgeCondition, ...]:
        """Return the judges that do not work."""
        return self.inner.conditions()

    def measure(self, events: Sequence[tuple[Origin, ResponseEvent]]) -> Sequence[Measurement]:
        """Return the other's measurements; the first has the calls since the last time."""
        measurements = self.inner.measure(events)
        if not measurements:
            return measurements
        first, *others = measurements
        found = tuple(
            piece
            for client in self.clients
            for call in client.take_calls()
            for piece in pieces_of(client.authority, call)
        )
        return [replace(first, work=(*first.work, *found)), *others]


def pieces_of(upstream: str, call: JudgeCall) -> Iterator[WorkPiece]:
    """Yield a call's work by minute, as that of an exchange with its own model.

    Args:
        upstream: Label of the server, as gateways call it.
        call: The call.
    """
    segment = Segment(model=call.model)
    exchange = ResponseEvent(
        request_id="",
        producer_id="",
        sequence=0,
        time_ms=call.start_ms,
        segment=segment,
        customer=JUDGES,
        status=200,
        latency_ms=call.end_ms - call.start_ms,
        upstream=upstream,
        usage=call.usage,
    )
    for piece in work_of(exchange, JUDGES):
        yield piece._replace(line="judge", segment=segment.key)
