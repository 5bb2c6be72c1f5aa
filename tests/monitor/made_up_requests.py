"""A log with one exchange, judged by a judge that is not qualified."""

from __future__ import annotations

from tests.monitor.made_up import NOW, segment

from tidegauge.monitor.errors import MonitorError
from tidegauge.schemas.evaluations import JudgmentEvent
from tidegauge.schemas.exchange import Message, RequestEvent, ResponseEvent
from tidegauge.usecases.recent_exchanges import ExchangeFilter, FoundExchanges

EVENT = ResponseEvent(
    request_id="r1",
    producer_id="g",
    sequence=1,
    time_ms=NOW,
    segment=segment("v2"),
    customer="acme",
    status=200,
    latency_ms=812.0,
    messages=(Message(role="user", content="Where is my <card>?"),),
    output="It is on its way.",
    output_characters=17,
    checks={"refusal": "passed", "truncation": "failed"},
)


class MadeUpLog:
    """A log with one exchange, which may be down."""

    def __init__(self) -> None:
        self.error = ""
        self.asked: list[ExchangeFilter] = []

    def recent(self, wanted: ExchangeFilter, now_ms: int) -> FoundExchanges:
        self._check()
        self.asked.append(wanted)
        events = (EVENT,) if wanted(EVENT) else ()
        return FoundExchanges(events, now_ms - 60_000, complete=False)

    def find(self, request_id: str) -> ResponseEvent | RequestEvent | None:
        self._check()
        return EVENT if request_id == EVENT.request_id else None

    def judgments(self, event: ResponseEvent) -> tuple[JudgmentEvent, ...]:
        self._check()
        return (
            JudgmentEvent(
                request_id=event.request_id,
                producer_id="j",
                sequence=1,
                time_ms=event.time_ms,
                segment=event.segment,
                judge="rubric",
                specification_hash="0",
                inclusion_probability=0.5,
                sampling_period=0,
                salt="s",
                scores={"helpfulness": 0.25},
                qualified=False,
            ),
        )

    def _check(self) -> None:
        if self.error:
            raise MonitorError(self.error)
