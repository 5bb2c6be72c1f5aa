from __future__ import annotations

import msgspec
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.monitor.made_up import NOW, segment

from tidegauge.monitor.errors import MonitorError
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitor.web.request_pages import RequestPages, request_line
from tidegauge.schemas.evaluations import JudgmentEvent
from tidegauge.schemas.exchange import (
    ErrorKind,
    ExchangeOutcome,
    Message,
    RequestEvent,
    ResponseEvent,
)
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


class Log:
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


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def client(log: Log) -> TestClient:
    app = FastAPI()
    RequestPages(log, lambda: NOW).mount(app, Renderer(15))
    return TestClient(app, base_url="http://127.0.0.1")


def test_the_newest_requests_are_listed_and_what_was_not_read_is_said(
    client: TestClient, log: Log
) -> None:
    page = client.get("/requests", params={"customer": "acme", "only": "check"})
    assert log.asked == [ExchangeFilter(customer="acme", only="check")]
    for text in ("Where is my &lt;card&gt;?", "truncation", "812 ms", "incomplete", 'value="acme"'):
        assert text in page.text, text
    assert "None in the last hour" in client.get("/requests?customer=other").text


def test_a_request_is_shown_with_its_checks_and_judgments(client: TestClient) -> None:
    page = client.get("/request/r1")
    for text in ("It is on its way.", "812 ms", "helpfulness", "0.250", "unqualified", "refusal"):
        assert text in page.text, text
    gone = client.get("/request/r2")
    assert gone.status_code == 404
    assert "its text has expired" in gone.text


@pytest.mark.parametrize("outcome", ["pending", "cancelled", "unread"])
def test_what_is_no_answer_is_not_called_one(outcome: ExchangeOutcome) -> None:
    line = request_line(msgspec.structs.replace(EVENT, outcome=outcome, checks={}))
    assert (line.outcome, line.tone) == (outcome, "quiet")


def test_a_log_that_is_down_is_told_of(client: TestClient, log: Log) -> None:
    log.error = "no broker answers <b>"
    for path in ("/requests", "/request/r1"):
        page = client.get(path)
        assert page.status_code == 503
        assert "no broker answers &lt;b&gt;" in page.text


@pytest.mark.parametrize(
    ("wanted", "event", "meets"),
    [
        (ExchangeFilter(), EVENT, True),
        (ExchangeFilter(version="v1"), EVENT, False),
        (ExchangeFilter(only="failed"), EVENT, False),
        (
            ExchangeFilter(only="failed"),
            msgspec.structs.replace(EVENT, error=ErrorKind.UPSTREAM_ERROR),
            True,
        ),
        (ExchangeFilter(only="check"), msgspec.structs.replace(EVENT, checks={}), False),
    ],
)
def test_a_filter_asks_for_what_it_names(
    wanted: ExchangeFilter, event: ResponseEvent, *, meets: bool
) -> None:
    assert wanted(event) is meets
