from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tidegauge.monitor.web.controlling import ControlPages
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitor.web.segment_page import alarm_query
from tidegauge.monitoring.view import MonitorView
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.operations import Control
from tidegauge.schemas.segments import Segment
from tidegauge.streaming.processor import Output

DRIFT = {"monitor": "drift.topics", "segment": "support-chat//%2Fv1%2Fchat%2Fcompletions/"}
HOUR = 3_600_000


class Log:
    """Takes controls, or does not."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.down = False

    def publish(self, output: Output) -> None:
        if self.down:
            raise TidegaugeError("no broker answers")
        self.outputs.append(output)

    @property
    def said(self) -> Control:
        (output,) = self.outputs
        assert isinstance(output.event, Control)
        return output.event


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def client(make_view: Callable[[], MonitorView], log: Log, now_ms: int) -> TestClient:
    app = FastAPI()
    pages = ControlPages(make_view, log.publish, lambda: now_ms, 30)
    pages.mount(app, Renderer(15))
    return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)


def test_an_alarm_has_a_page_that_stays_still(client: TestClient) -> None:
    page = client.get("/alarm", params=DRIFT)
    assert page.status_code == 200
    for text in (
        "23.3% of requests against 1.2%",
        "my card was swallowed by the machine",
        "<details open><summary>How this could be a false alarm",
        "Earlier states",
        'value="support-chat//%2Fv1%2Fchat%2Fcompletions/"',
    ):
        assert text in page.text, text
    assert "http-equiv" not in page.text


def test_a_monitor_that_does_not_alarm_has_a_page_too(client: TestClient) -> None:
    where = {"monitor": "cost.request", "segment": "support-chat/v2/%2Fv1%2Fchat%2Fcompletions/"}
    page = client.get("/alarm", params=where)
    assert page.status_code == 200
    assert "Silenced by" in page.text


def test_what_nobody_watches_has_none(client: TestClient) -> None:
    assert client.get("/alarm", params={"monitor": "<script>", "segment": "x"}).status_code == 404


def test_the_query_is_that_of_the_page(client: TestClient) -> None:
    segment = Segment(model="support-chat", route="/v1/chat/completions")
    assert client.get(f"/alarm?{alarm_query('drift.topics', segment)}").status_code == 200


def test_acknowledging_goes_to_the_log(client: TestClient, log: Log, now_ms: int) -> None:
    form = {**DRIFT, "action": "acknowledge", "who": "ada\u202e", "note": "new\ncampaign"}
    answer = client.post("/controls", data=form)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/alarm?{urlencode(DRIFT)}&said=acknowledge"
    assert log.said == Control(
        action="acknowledge",
        monitor=DRIFT["monitor"],
        segment=DRIFT["segment"],
        time_ms=now_ms,
        who="ada",
        note="new campaign",
    )
    assert "goes on firing, in your name" in client.get(answer.headers["location"]).text


def test_closing_goes_to_the_log(client: TestClient, log: Log) -> None:
    answer = client.post("/controls", data={**DRIFT, "action": "close"})
    assert log.said.action == "close"
    assert "starts over within seconds" in client.get(answer.headers["location"]).text


def test_a_silence_is_ended_by_one_that_ends_at_once(
    client: TestClient, log: Log, now_ms: int
) -> None:
    answer = client.post("/controls", data={**DRIFT, "action": "unsilence"})
    assert (log.said.action, log.said.until_ms) == ("silence", now_ms)
    assert "raises alerts again" in client.get(answer.headers["location"]).text


def test_a_silence_has_an_end(client: TestClient, log: Log, now_ms: int) -> None:
    assert client.post("/controls", data={**DRIFT, "action": "silence", "hours": "1.5"})
    assert log.said.until_ms == now_ms + 1.5 * HOUR


def test_an_incident_is_acknowledged_with_all_its_alarms(
    client: TestClient, log: Log, make_view: Callable[[], MonitorView]
) -> None:
    alert = make_view().alerts[0]
    form = {"incident": alert.alert_id, "action": "acknowledge", "who": "Ada"}
    answer = client.post("/controls", data=form)
    assert answer.headers["location"] == f"/i/{alert.alert_id}?said=acknowledge"
    assert (log.said.monitor, log.said.segment) == (alert.monitor, alert.segment.key)
    gone = client.post("/controls", data={**form, "incident": "gone"})
    assert gone.status_code == 422
    assert len(log.outputs) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"action": "delete"}, "one of acknowledge, close"),
        ({"action": ""}, "one of acknowledge, close"),
        ({"action": "silence", "hours": ""}, "up to 168 hours"),
        ({"action": "silence", "hours": "nan"}, "up to 168 hours"),
        ({"action": "silence", "hours": "inf"}, "up to 168 hours"),
        ({"action": "silence", "hours": "-1"}, "up to 168 hours"),
        ({"action": "acknowledge", "monitor": "*"}, "No such monitor"),
        ({"action": "acknowledge", "segment": "*"}, "No such monitor"),
        ({"action": "acknowledge", "note": "x" * 9_000}, "nothing to control"),
    ],
)
def test_what_cannot_be_done_is_refused_and_not_said(
    client: TestClient, log: Log, change: dict[str, str], said: str
) -> None:
    answer = client.post("/controls", data={**DRIFT, **change})
    assert answer.status_code == 422
    assert said in answer.text
    assert not log.outputs


def test_a_log_that_is_down_is_told_of(client: TestClient, log: Log) -> None:
    log.down = True
    answer = client.post("/controls", data={**DRIFT, "action": "acknowledge"})
    assert answer.status_code == 503
    assert "no broker answers" in answer.text
