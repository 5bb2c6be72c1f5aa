from __future__ import annotations

import msgspec
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from tests.monitor.made_up import NOW
from tests.monitor.made_up_requests import EVENT, MadeUpLog

from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitor.web.request_pages import RequestPages, request_line
from tidegauge.schemas.exchange import (
    ErrorKind,
    ExchangeOutcome,
    ResponseEvent,
)
from tidegauge.usecases.recent_exchanges import ExchangeFilter


@pytest.fixture
def log() -> MadeUpLog:
    return MadeUpLog()


@pytest.fixture
def client(log: MadeUpLog) -> TestClient:
    app = FastAPI()
    RequestPages(log, lambda: NOW).mount(app, Renderer(15))
    return TestClient(app, base_url="http://127.0.0.1")


def test_the_newest_requests_are_listed_and_what_was_not_read_is_said(
    client: TestClient, log: MadeUpLog
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


def test_a_log_that_is_down_is_told_of(client: TestClient, log: MadeUpLog) -> None:
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
