from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
from fastapi.testclient import TestClient
from tests.monitor.made_up import progress
from tests.monitor.made_up_pages import all_pages

from tidegauge.monitor.web.app import create_app
from tidegauge.monitor.web.setup_page import judge_lines, setup_page
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.schemas.sketches import JudgeCondition, JudgeState

ViewFactory = Callable[..., MonitorView]


def test_each_judge_says_what_it_tells_apart_or_why_it_does_not() -> None:
    detail = "it scored 3 of 10 golden answers"
    report = msgspec.structs.replace(
        progress("quality", 0),
        notices=(
            "qualified:likelihood:off_topic",
            "qualified:likelihood:shuffled",
            "unqualified:rubric",
            "qualified:other:cut",
            "judge_changed:other",
            "qualification_pending:new",
            "unreachable",
            "segments:capped",
        ),
        judges=(JudgeCondition(judge="rubric", state=JudgeState.UNQUALIFIED, detail=detail),),
    )
    lines = {line.judge: line for line in judge_lines([report, progress("drift", 0)])}
    assert {name: line.word for name, line in lines.items()} == {
        "likelihood": "qualified",
        "new": "pending",
        "other": "changed since",
        "rubric": "unqualified",
    }
    assert lines["likelihood"].tells == ("off topic", "shuffled")
    assert detail in lines["rubric"].sentence


def test_a_monitor_says_how_rarely_chance_reaches_its_threshold(make_view: ViewFactory) -> None:
    tested = {line.monitor: line for line in setup_page(make_view(), false_alarm_days=30).tested}
    assert tested["latency.total"].threshold == "once in 341 days"
    assert not tested["quality.rubric"].threshold


def test_settings_judges_and_the_promise_are_shown(
    make_view: ViewFactory, estimator: Estimator, now_ms: int, tmp_path: Path
) -> None:
    interface = all_pages(make_view(), estimator, now_ms, tmp_path)
    client = TestClient(create_app(interface), base_url="http://127.0.0.1")
    page = client.get("/setup").text
    assert "TIDEGAUGE_MONITOR_FALSE_ALARM_DAYS" in page
    assert "<bdi>60</bdi>" in page
    assert "The judge rubric is not qualified." in page
    assert "At most one false alarm in 30 days" in page
    assert "<bdi>price change</bdi>" in page


def test_words_are_defined_where_the_pointer_rests(
    make_view: ViewFactory, estimator: Estimator, now_ms: int, tmp_path: Path
) -> None:
    interface = all_pages(make_view(), estimator, now_ms, tmp_path)
    client = TestClient(create_app(interface), base_url="http://127.0.0.1")
    assert '<abbr title="share of requests that failed' in client.get("/").text
    assert 'title="Changed, and users are harmed by it' in client.get("/").text
    assert '<abbr title="shipped to the log' in client.get("/pipeline").text
