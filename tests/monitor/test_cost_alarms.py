"""Alarms on customers and budgets look like any other on the pages, in the API and in metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from tests.monitor.made_up import NOW, Watch, alert
from tests.monitor.made_up_costs import made_up_costs
from tests.monitor.test_app import LOCAL

from tidegauge.monitor.metrics import ViewCollector
from tidegauge.monitor.web.app import Interface, create_app
from tidegauge.monitoring.budgets import budget_verdicts
from tidegauge.monitoring.customer_costs import customer_key
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.cost_view import BudgetBurn
from tidegauge.reports.quality import Estimator
from tidegauge.schemas.findings import Alert, Effect, State, Verdict

DEARER = Verdict(
    monitor="cost.customer",
    signal="cost",
    segment=customer_key("acme").segment,
    time_ms=NOW,
    state=State.WARN,
    sentence="The customer costs more than 2 times what it did a week before.",
    log_statistic=12.0,
    log_threshold=11.0,
    since_ms=NOW - 20 * 3_600_000,
    events=1,
    effects=(
        Effect(
            indicator="cost/above_last_week",
            title="hours that cost more than 2 times the same hour of the week before",
            baseline_rate=0.5,
            low=0.0,
            high=0.5,
            hits=20,
            trials=20,
            rate_low=0.83,
            rate_high=1.0,
            share=1.0,
        ),
    ),
)


def cost_alerts() -> tuple[Alert, Alert]:
    """Return the alarms of a customer that became dearer and of a budget that is spent too fast."""
    costs = replace(made_up_costs(), budgets=(BudgetBurn("all", 500.0, 60.0, 3.6, 2.1),))
    (burning,) = budget_verdicts(costs, [], now_ms=NOW)
    return alert(DEARER, "warn"), alert(burning, "warn")


@pytest.fixture
def view(make_view: Callable[[], MonitorView]) -> MonitorView:
    made, alerts = make_view(), cost_alerts()
    return msgspec.structs.replace(
        made,
        verdicts=(*made.verdicts, *(one.verdict for one in alerts)),
        alerts=(*made.alerts, *alerts),
    )


@pytest.fixture
def client(view: MonitorView, estimator: Estimator, now_ms: int) -> TestClient:
    registry = CollectorRegistry()
    registry.register(
        ViewCollector(lambda: view, lambda: now_ms, estimator, false_alarm_days=30, segments=32)
    )
    interface = Interface(
        watch=Watch(view),
        now_ms=lambda: now_ms,
        estimator=estimator,
        registry=registry,
        false_alarm_days=30,
        refresh_seconds=15,
        host="127.0.0.1",
    )
    return TestClient(create_app(interface), base_url=LOCAL)


def test_every_page_shows_them(client: TestClient, view: MonitorView) -> None:
    now = client.get("/").text
    assert "customer acme" in now
    assert "it costs much more than a week before" in now
    assert "it spends more than its budget" in now
    for one in view.alerts[-2:]:
        page = client.get(f"/i/{one.incident or one.alert_id}")
        assert page.status_code == 200
        assert one.verdict.sentence.replace("'", "&#39;") in page.text


def test_their_runbooks_are_their_own(client: TestClient) -> None:
    assert "A customer costs much more" in client.get("/runbook/customer").text
    assert "Spending is faster" in client.get("/runbook/budget").text


def test_the_api_and_the_metrics_have_them(client: TestClient) -> None:
    alerts = client.get("/api/alerts").json()
    found = {one["monitor"]: one["segment"] for one in alerts}
    assert found["cost.customer"]["customer"] == "acme"
    assert found["cost.budget"]["customer"] == ""
    metrics = client.get("/metrics").text
    assert 'monitor="cost.customer"' in metrics
    assert 'monitor="cost.budget"' in metrics
