"""Viewers see numbers and verdicts, and no text of a request."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from tests.monitor.made_up import Watch

from tidegauge.monitor.settings import MonitorSettings
from tidegauge.monitor.web import guards
from tidegauge.monitor.web.app import Interface, create_app
from tidegauge.monitor.web.controlling import ControlPages
from tidegauge.monitor.web.viewers import OPEN_TO_VIEWERS, StateByRole
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.runtime.environment import SettingsError
from tidegauge.runtime.settings import load

TEXT = "How do I report a lost card while travelling abroad?"


@pytest.fixture
def client(
    make_view: Callable[[], MonitorView],
    estimator: Estimator,
    now_ms: int,
    monkeypatch: pytest.MonkeyPatch,
) -> TestClient:
    monkeypatch.setattr(guards, "_WRONG_SECONDS", 0.0)
    watch = Watch(make_view())
    shown = StateByRole(watch)
    interface = Interface(
        watch=watch,
        now_ms=lambda: now_ms,
        estimator=estimator,
        registry=CollectorRegistry(),
        false_alarm_days=30,
        refresh_seconds=15,
        host="127.0.0.1",
        password="all",  # noqa: S106 - of this test
        viewer_password="numbers",  # noqa: S106 - of this test
        pages=(ControlPages(shown.view, lambda _: None, lambda: now_ms, 30),),
    )
    return TestClient(create_app(interface), base_url="http://127.0.0.1")


def said(password: str) -> dict[str, str]:
    return {"authorization": f"Basic {base64.b64encode(f'ann:{password}'.encode()).decode()}"}


def alarm_paths(client: TestClient) -> list[str]:
    """Return the paths of the pages that the overview links to."""
    page = client.get("/", headers=said("all")).text
    links = [part.partition('"')[0] for part in page.split('href="')[1:]]
    return [link.replace("&amp;", "&") for link in links if link.startswith(("/i/", "/segment?"))]


def test_no_page_shows_a_viewer_a_text(client: TestClient) -> None:
    parameters = {"model": "support-chat", "version": "v1", "route": "/v1/chat/completions"}
    paths = [*alarm_paths(client), *sorted(OPEN_TO_VIEWERS - {"/alarm", "/segment"})]
    texts = {
        path: client.get(path, headers=said("all"), params=parameters if "?" not in path else None)
        for path in paths
    }
    shows = [path for path, answer in texts.items() if TEXT in answer.text]
    assert {"/", "/topics", "/api/view", "/api/verdicts", "/api/incidents"} <= set(shows)
    assert any(path.startswith("/i/") for path in shows)
    for path in paths:
        answer = client.get(
            path, headers=said("numbers"), params=parameters if "?" not in path else None
        )
        assert answer.status_code == texts[path].status_code
        assert TEXT not in answer.text
        assert len(answer.text) >= 0.5 * len(texts[path].text)


@pytest.mark.parametrize(
    "path", ["/alarm/topics", "/api/alarm/topics", "/reports", "/api/reports", "/reports/x", "/new"]
)
def test_what_is_made_of_texts_is_closed_to_viewers(client: TestClient, path: str) -> None:
    answer = client.get(path, headers=said("numbers"))
    assert answer.status_code == 403
    assert "viewers' password" in answer.text


def test_a_viewer_changes_nothing(client: TestClient) -> None:
    for path in ("/controls", "/"):
        assert client.post(path, headers=said("numbers")).status_code == 403


def test_any_other_password_opens_nothing(client: TestClient) -> None:
    for headers in ({}, said(""), said("number"), said("numbersall")):
        assert client.get("/", headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("password", "problem"), [("", "must go with"), ("same", "must differ from")]
)
def test_a_viewers_password_without_another_is_refused(password: str, problem: str) -> None:
    environment = {
        "TIDEGAUGE_MONITOR_PASSWORD": password,
        "TIDEGAUGE_MONITOR_VIEWER_PASSWORD": "same",
    }
    with pytest.raises(SettingsError, match=f"VIEWER_PASSWORD is a secret.*{problem}"):
        load(MonitorSettings, environment)
