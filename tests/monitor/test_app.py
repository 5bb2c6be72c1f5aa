from __future__ import annotations

import json
import re
from collections.abc import Callable

import msgspec
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from tests.monitor.made_up import Watch

from tidegauge.monitor.metrics import ViewCollector
from tidegauge.monitor.web.app import Interface, create_app
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.schemas.findings import Alert, Verdict

LOCAL = "http://127.0.0.1:8090"


@pytest.fixture
def watch(make_view: Callable[[], MonitorView]) -> Watch:
    return Watch(make_view())


@pytest.fixture
def client(watch: Watch, estimator: Estimator, now_ms: int) -> TestClient:
    registry = CollectorRegistry()
    registry.register(
        ViewCollector(watch.view, lambda: now_ms, estimator, false_alarm_days=30, segments=9)
    )
    interface = Interface(
        watch=watch,
        now_ms=lambda: now_ms,
        estimator=estimator,
        registry=registry,
        false_alarm_days=30,
        refresh_seconds=15,
        host="127.0.0.1",
    )
    return TestClient(create_app(interface), base_url=LOCAL)


QUESTIONS = {
    "/": ("2 incidents, 1 critical", "How do I report a lost card while travelling abroad?"),
    "/topics": (
        "Shares of topics, by the hour",
        "What people ask for",
        "How this could be a false alarm",
    ),
    "/releases": (
        "v2 against v1: worse in judge: likelihood; not worse in latency; undecided in errors.",
    ),
    "/setup": ("At most one false alarm in 30 days on average", "price change", "Judge: rubric"),
    "/pipeline": (
        "1,230 sampled = 1,200 judged + 25 skipped (overload)",
        "balanced",
        '<td class="n">1,771</td>',
        "the monitor did not look for 1 h 20 min; 4 not captured (quota); 2 dead-lettered; ",
        "the judge worker processed nothing",
    ),
    "/runbook/quality": ("Answers are judged worse", "close the incident"),
}


@pytest.mark.parametrize("path", QUESTIONS)
def test_a_page_answers_its_question(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    for text in QUESTIONS[path]:
        assert text in answer.text, text
    assert '<noscript><meta http-equiv="refresh" content="15"></noscript>' in answer.text
    current = [part for part in answer.text.split("<a ") if 'aria-current="page"' in part]
    assert len(current) == (0 if path.startswith("/runbook") else 1)


def test_a_segment_says_how_many_answers_invent_and_had_a_context(client: TestClient) -> None:
    asked = {"model": "support-chat", "version": "v1", "route": "/v1/chat/completions"}
    text = re.sub(r"<[^>]+>", "", client.get("/segment", params=asked).text)
    assert "Hallucination: 10% of 40 answers with a context say what it does not hold" in text
    assert "34.8% of the answers had a context; 5 not measured (cut)." in text


@pytest.mark.parametrize(
    "path", ["/", "/topics", "/setup", "/pipeline", "/i/x", "/segment?model=m"]
)
def test_no_page_shows_a_name_that_is_ours_alone(client: TestClient, path: str) -> None:
    text = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", client.get(path).text, flags=re.DOTALL)
    assert not re.findall(r"\w+@[0-9a-f]{8}|hot_sampler|\b(?:latency|drift|errors|cost)\.\w+", text)


def test_an_address_without_a_page_says_so_on_a_page(client: TestClient) -> None:
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert "There is no page at this address." in answer.text
    assert 'href="/"' in answer.text
    answer = client.get("/api/nowhere")
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "there is nothing at this address"},
    )


def test_the_page_can_be_held_still(client: TestClient) -> None:
    assert "http-equiv" not in client.get("/?refresh=off").text


def test_the_page_may_run_our_own_files_and_nothing_else(client: TestClient) -> None:
    answer = client.get("/")
    policy = dict(
        part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in str(policy)
    scripts = re.findall(r"<script[^>]*>", answer.text)
    assert scripts == ['<script src="/static/page.js" defer>']
    script = client.get("/static/page.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["x-content-type-options"] == "nosniff"
    assert client.get("/static/..%2Fapp.py").status_code == 404


def test_a_page_is_compressed(client: TestClient) -> None:
    assert client.get("/").headers["content-encoding"] == "gzip"


def test_incidents_come_as_json(client: TestClient) -> None:
    worse, asked = client.get("/api/incidents").json()
    assert (worse["severity"], worse["fires"]) == ("critical", True)
    assert asked["title"] == (
        "support-chat since 2023-11-14 21:54:20 UTC: people ask for something else"
    )
    assert [alert["monitor"] for alert in asked["alerts"]] == ["drift.topics"]


def test_a_segment_has_a_page_of_its_own(client: TestClient) -> None:
    found = client.get(
        "/segment",
        params={"model": "support-chat", "version": "v2", "route": "/v1/chat/completions"},
    )
    assert found.status_code == 200
    assert "310 requests in the last 15 min" in found.text
    both = client.get("/segment", params={"model": "support-chat", "route": "/v1/chat/completions"})
    assert both.status_code == 200
    assert both.text.count("<article") == 2
    missing = client.get("/segment", params={"model": "<script>"})
    assert missing.status_code == 404
    assert "<script>" not in missing.text


def test_the_api_answers_with_the_events_own_types(client: TestClient, watch: Watch) -> None:
    view = msgspec.json.decode(client.get("/api/view").content, type=MonitorView)
    assert watch.shown is not None
    assert view.verdicts == watch.shown.verdicts
    assert {item.history for item in view.segments} == {()}, "thirty days are left out"
    verdicts = msgspec.json.decode(
        client.get("/api/verdicts?signal=quality&state=unqualified").content, type=list[Verdict]
    )
    assert {verdict.monitor for verdict in verdicts} == {"quality.rubric"}
    assert len(verdicts) == 2
    alerts = msgspec.json.decode(
        client.get("/api/alerts?severity=critical").content, type=list[Alert]
    )
    assert [alert.monitor for alert in alerts] == ["quality.likelihood"]
    ledger = client.get("/api/ledger").json()
    assert (ledger["balanced"], ledger["settled"], ledger["in_flight"]) == (True, False, 39)


def test_numbers_can_be_taken_away(client: TestClient) -> None:
    where = {"model": "support-chat", "version": "v1", "route": "/v1/chat/completions"}
    trend = client.get("/api/trend.csv", params=where)
    assert trend.headers["content-type"].startswith("text/csv")
    assert trend.text.count("\n") == 16
    assert client.get("/api/trend.csv", params={"model": "x"}).status_code == 404
    account = client.get("/api/account.csv")
    assert "attachment" in account.headers["content-disposition"]
    assert "support-chat,v1,/v1/chat/completions,,acme,600," in account.text


def test_a_filter_that_does_not_exist_is_refused(client: TestClient) -> None:
    assert client.get("/api/verdicts?signal=mood").status_code == 422


def test_before_there_is_a_view_everything_says_so(client: TestClient, watch: Watch) -> None:
    watch.shown = None
    assert client.get("/").status_code == 503
    assert "Nothing is tested until it has" in client.get("/").text
    for path in ("/api/view", "/api/verdicts", "/api/alerts", "/api/incidents", "/api/ledger"):
        answer = client.get(path)
        assert (answer.status_code, list(answer.json())) == (503, ["error"])
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
    assert client.get("/metrics").status_code == 200


def test_an_ended_loop_is_not_alive(client: TestClient, watch: Watch) -> None:
    watch.running = False
    assert client.get("/healthz").status_code == 503


def test_every_reference_of_the_openapi_document_resolves(client: TestClient) -> None:
    text = client.get("/openapi.json").text
    document = json.loads(text)
    assert set(document["paths"]) >= {"/api/view", "/api/verdicts", "/api/alerts", "/api/ledger"}
    schemas = document["components"]["schemas"]
    wanted = {part.split('"', 1)[0] for part in text.split('"#/components/schemas/')[1:]}
    assert wanted <= set(schemas)
    assert {"MonitorView", "Verdict", "Alert", "LedgerAnswer"} <= wanted | set(schemas)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8090", "[::ffff", ""])
def test_a_monitor_on_loopback_answers_to_no_other_name(client: TestClient, host: str) -> None:
    assert client.get("/api/view", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8090", "127.0.0.1", "[::1]:8090"])
def test_it_answers_to_this_machines_names(client: TestClient, host: str) -> None:
    assert client.get("/api/view", headers={"host": host}).status_code == 200


def test_another_sites_page_can_change_nothing(client: TestClient) -> None:
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert client.post("/reports", headers=headers).status_code == 403
