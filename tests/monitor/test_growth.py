"""Every page of a monitor that watches 200 segments stays small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from tests.monitor.made_up import ROUTE, Watch
from tests.monitor.made_up_costs import made_up_costs

from tidegauge.monitor.report_queue import ReportQueue, ReportStore
from tidegauge.monitor.web.app import Interface, create_app
from tidegauge.monitor.web.controlling import ControlPages
from tidegauge.monitor.web.cost_pages import CostPages
from tidegauge.monitor.web.label_pages import LabelPages
from tidegauge.monitor.web.report_pages import ReportPages
from tidegauge.monitor.web.segments import alarm_query, query
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.schemas.segments import Segment
from tidegauge.usecases.compare_labels import LabelComparison

MOST_BYTES = 150_000


def crowded(view: MonitorView) -> MonitorView:
    """Return a view in which 200 models look as the first one does, beside its alarms."""
    model = view.segments[0]
    many = tuple(
        msgspec.structs.replace(
            model, segment=Segment(model=f"assistant-{number:03}", version="2026-01", route=ROUTE)
        )
        for number in range(200 - len(view.segments))
    )
    verdicts = tuple(
        msgspec.structs.replace(verdict, segment=item.segment)
        for item in many
        for verdict in view.verdicts[2:7]
    )
    return msgspec.structs.replace(
        view, segments=view.segments + many, verdicts=view.verdicts + verdicts
    )


@pytest.fixture
def client(
    make_view: Callable[[], MonitorView], estimator: Estimator, now_ms: int, tmp_path: Path
) -> TestClient:
    view = crowded(make_view())
    reports = ReportQueue(ReportStore(tmp_path / "reports", keep=1), lambda *_: (), lambda: now_ms)
    interface = Interface(
        watch=Watch(view),
        now_ms=lambda: now_ms,
        estimator=estimator,
        registry=CollectorRegistry(),
        false_alarm_days=30,
        refresh_seconds=0,
        host="127.0.0.1",
        pages=(
            ControlPages(lambda: view, lambda _: None, lambda: now_ms, 30),
            CostPages(made_up_costs),
            LabelPages(lambda *_: LabelComparison((), None, None), lambda: now_ms),
            ReportPages(reports, lambda: now_ms),
        ),
    )
    return TestClient(create_app(interface), base_url="http://127.0.0.1")


def addresses(view: MonitorView) -> list[str]:
    worst = view.alerts[0]
    return [
        *("/", "/topics", "/releases", "/setup", "/pipeline", "/costs", "/labels", "/reports"),
        *(f"/i/{alert.alert_id}" for alert in view.alerts),
        f"/segment?{query(view.segments[0].segment)}",
        f"/alarm?{alarm_query(worst.monitor, worst.segment)}",
    ]


def test_no_page_of_two_hundred_segments_is_large(
    client: TestClient, make_view: Callable[[], MonitorView]
) -> None:
    large = {}
    for address in addresses(make_view()):
        answer = client.get(address)
        assert answer.status_code == 200, address
        if len(answer.content) > MOST_BYTES:
            large[address] = len(answer.content)
    assert not large
