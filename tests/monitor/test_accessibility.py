"""axe-core over every page, at three widths, in light and in dark.

It is a package of npm, and runs where ``TIDEGAUGE_TEST_AXE`` names its ``axe.min.js``, as in
``make nightly``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tests.monitor.browser import CHROMEDRIVER, CHROMIUM, browse, serve
from tests.monitor.made_up import Watch
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
from tidegauge.usecases.compare_labels import LabelComparison

AXE = os.environ.get("TIDEGAUGE_TEST_AXE", "")
WIDTHS = (390, 768, 1440)

pytestmark = pytest.mark.skipif(
    not AXE or CHROMIUM is None or CHROMEDRIVER is None,
    reason="TIDEGAUGE_TEST_AXE names no axe.min.js, or chromium is not installed",
)


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing(  # noqa: PLR0913, PLR0917 - one fixture for each part of the page
    make_view: Callable[[], MonitorView],
    estimator: Estimator,
    now_ms: int,
    tmp_path: Path,
    width: int,
    mode: str,
) -> None:
    view = make_view()
    worst = view.alerts[0]
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
    pages = [
        *("/", "/topics", "/releases", "/setup", "/pipeline", "/costs", "/labels", "/reports"),
        *("/runbook/quality", "/nowhere"),
        *(f"/i/{alert.alert_id}" for alert in view.alerts),
        f"/segment?{query(view.segments[0].segment)}",
        f"/alarm?{alarm_query(worst.monitor, worst.segment)}",
    ]
    script = Path(AXE).read_text()
    found = {}
    with serve(create_app(interface)) as port, browse(tmp_path / "profile") as browser:
        browser.look(width, mode)
        for page in pages:
            browser.open(f"http://127.0.0.1:{port}{page}")
            if violations := browser.violations(script):
                found[page] = violations
    assert not found
