from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tidegauge.monitor.errors import MonitorError
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.monitor.web.segment_page import alarm_query
from tidegauge.monitor.web.topic_pages import TopicPages
from tidegauge.monitoring.mix_decomposition import decompose
from tidegauge.monitoring.view import MonitorView
from tidegauge.schemas.findings import Verdict
from tidegauge.usecases.explain import Explanation


class Explainer:
    """Takes apart what it is told to, or says why not."""

    def __init__(self) -> None:
        self.error = ""

    def __call__(self, verdict: Verdict, now_ms: int) -> Explanation:
        assert now_ms > verdict.time_ms
        if self.error:
            raise MonitorError(self.error)
        return Explanation(
            verdict=verdict,
            indicator="score/below_0.1",
            title="fluency below the baseline's P10",
            drift_baseline="drift-1",
            titles={0: "cards <lost>", 1: "balance"},
            mix=decompose({0: (10, 100), 1: (50, 100)}, {0: (60, 100), 1: (150, 300), 7: (2, 5)}),
        )


@pytest.fixture
def explainer() -> Explainer:
    return Explainer()


@pytest.fixture
def client(make_view: Callable[[], MonitorView], explainer: Explainer, now_ms: int) -> TestClient:
    app = FastAPI()
    TopicPages(make_view, explainer, lambda: now_ms, 30).mount(app, Renderer(15))
    return TestClient(app, base_url="http://127.0.0.1")


def where(view: MonitorView) -> str:
    alert = view.alerts[1]
    return alarm_query(alert.monitor, alert.segment)


def test_the_parts_add_up_and_the_topics_have_their_names(
    client: TestClient, make_view: Callable[[], MonitorView]
) -> None:
    page = client.get(f"/alarm/topics?{where(make_view())}")
    assert page.status_code == 200
    for text in (
        "Same topics, served differently",
        "cards &lt;lost&gt;",
        "cluster 7",
        "Topics that the baseline does not know",
    ):
        assert text in page.text, text
    answer = client.get(f"/api/topics?{where(make_view())}")
    mix = msgspec.json.decode(answer.content, type=Explanation).mix
    parts = mix.conditional.change + mix.mix.change + mix.unknown
    assert parts == pytest.approx(mix.current_rate - mix.reference_rate)


def test_what_cannot_be_taken_apart_says_why(
    client: TestClient, explainer: Explainer, make_view: Callable[[], MonitorView]
) -> None:
    explainer.error = "no request's topic is known <b>"
    page = client.get(f"/alarm/topics?{where(make_view())}")
    assert page.status_code == 422
    assert "no request&#39;s topic is known &lt;b&gt;" in page.text
    assert client.get(f"/api/topics?{where(make_view())}").json() == {"error": explainer.error}


def test_what_nobody_watches_is_not_there(client: TestClient) -> None:
    for path in ("/alarm/topics", "/api/topics"):
        assert client.get(path, params={"monitor": "x", "segment": "y"}).status_code == 404
