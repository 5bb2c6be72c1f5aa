"""Every page of a monitor over a made-up view, and their addresses."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry
from tests.monitor.made_up import Watch
from tests.monitor.made_up_costs import made_up_costs

from tidegauge.monitor.report_queue import ReportQueue, ReportStore
from tidegauge.monitor.web.app import Interface, Pages
from tidegauge.monitor.web.controlling import ControlPages
from tidegauge.monitor.web.cost_pages import CostPages
from tidegauge.monitor.web.label_pages import LabelPages
from tidegauge.monitor.web.report_pages import ReportPages
from tidegauge.monitor.web.segments import alarm_query, query
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.usecases.compare_labels import LabelComparison


def interface(view: MonitorView, estimator: Estimator, now_ms: int, *pages: Pages) -> Interface:
    """Return the interface with these pages beside those that it always has, and the controls."""
    return Interface(
        watch=Watch(view),
        now_ms=lambda: now_ms,
        estimator=estimator,
        registry=CollectorRegistry(),
        false_alarm_days=30,
        refresh_seconds=0,
        host="127.0.0.1",
        pages=(ControlPages(lambda: view, lambda _: None, lambda: now_ms, 30), *pages),
    )


def all_pages(view: MonitorView, estimator: Estimator, now_ms: int, folder: Path) -> Interface:
    """Return the interface with all of its pages; reports lie in a folder."""
    reports = ReportQueue(ReportStore(folder / "reports", keep=1), lambda *_: (), lambda: now_ms)
    return interface(
        view,
        estimator,
        now_ms,
        CostPages(made_up_costs),
        LabelPages(lambda *_: LabelComparison((), None, None), lambda: now_ms),
        ReportPages(reports, lambda: now_ms),
    )


def addresses(view: MonitorView) -> list[str]:
    """Return the pages' addresses, of the view's alarms and its first segment too."""
    worst = view.alerts[0]
    return [
        *("/", "/topics", "/releases", "/setup", "/pipeline", "/costs", "/labels", "/reports"),
        *(f"/i/{alert.alert_id}" for alert in view.alerts),
        f"/segment?{query(view.segments[0].segment)}",
        f"/alarm?{alarm_query(worst.monitor, worst.segment)}",
    ]
