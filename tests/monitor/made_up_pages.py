"""Every page of a monitor over a made-up view, and their addresses."""

from __future__ import annotations

from pathlib import Path

import msgspec
from prometheus_client import CollectorRegistry
from tests.monitor.made_up import Watch
from tests.monitor.made_up_costs import made_up_costs
from tests.monitor.made_up_requests import EVENT, MadeUpLog

from tidegauge.monitor.baseline_keeper import BaselineLife
from tidegauge.monitor.report_queue import ReportQueue, ReportStore
from tidegauge.monitor.settings import MonitorSettings
from tidegauge.monitor.web.app import Interface, Pages
from tidegauge.monitor.web.baseline_pages import BaselinePages
from tidegauge.monitor.web.controlling import ControlPages
from tidegauge.monitor.web.cost_pages import CostPages
from tidegauge.monitor.web.label_pages import LabelPages
from tidegauge.monitor.web.report_pages import ReportPages
from tidegauge.monitor.web.request_pages import RequestPages
from tidegauge.monitor.web.segment_page import alarm_query, query
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.runtime.settings import in_force
from tidegauge.schemas.operations import BaselineManifest, BaselineOrigin
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
        settings=in_force(MonitorSettings(false_alarm_days=60)),
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
        RequestPages(MadeUpLog(), lambda: now_ms),
        BaselinePages(lambda: made_up_life(view.time_ms), lambda *_: None, lambda _: None),
    )


def made_up_life(now_ms: int) -> BaselineLife:
    """Return a renewed baseline of rates, and the one before, which is in force."""
    renewed = BaselineManifest(
        baseline_id="rates-2",
        kind="rates",
        fingerprint="f",
        created_ms=now_ms - 3_600_000,
        parts=1,
        sha256="0",
        summary={"promise": "Of 1,000 back-tests, 1 alarmed.", "power": "It finds 1.2 times."},
        origin=BaselineOrigin(
            how="renewed", replaces="rates-1", changes=("Latency: the median grew by 2%.",)
        ),
    )
    before = msgspec.structs.replace(renewed, baseline_id="rates-1", origin=BaselineOrigin())
    return BaselineLife(
        in_force={"rates": "rates-1", "drift": ""},
        next_steps={"rates": "It is renewed in a day."},
        baselines=(renewed, before),
    )


def addresses(view: MonitorView) -> list[str]:
    """Return the pages' addresses, of the view's alarms and its first segment too."""
    worst = view.alerts[0]
    return [
        *("/", "/topics", "/releases", "/setup", "/pipeline", "/costs", "/labels", "/reports"),
        *("/requests", f"/request/{EVENT.request_id}", "/baselines"),
        *(f"/i/{alert.alert_id}" for alert in view.alerts),
        f"/segment?{query(view.segments[0].segment)}",
        f"/alarm?{alarm_query(worst.monitor, worst.segment)}",
    ]
