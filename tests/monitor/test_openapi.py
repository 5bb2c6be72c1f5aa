"""Schemathesis sends the monitor what its OpenAPI document allows, and what it does not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry
from tests.monitor.browser import serve
from tests.monitor.made_up import Watch
from tests.monitor.made_up_costs import made_up_costs

from tidegauge.monitor.metrics import ViewCollector
from tidegauge.monitor.report_queue import ReportQueue, ReportStore
from tidegauge.monitor.web.app import Interface, create_app
from tidegauge.monitor.web.controlling import ControlPages
from tidegauge.monitor.web.cost_pages import CostPages
from tidegauge.monitor.web.report_pages import ReportPages
from tidegauge.monitor.web.topic_pages import TopicPages
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.schemas.findings import Verdict
from tidegauge.streaming.processor import Output
from tidegauge.usecases.errors import TimeRangeError, UnexplainedError
from tidegauge.usecases.explain import Explanation
from tidegauge.usecases.report_order import ReportOrder

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance"
)


def unexplained(_verdict: Verdict, _time_ms: int) -> Explanation:
    raise UnexplainedError("no drift baseline is in force")


def unmade(_order: ReportOrder, _path: Path) -> tuple[str, ...]:
    raise TimeRangeError("there is no exchange in this time")


def test_nothing_that_the_document_describes_makes_it_fail(
    make_view: Callable[[], MonitorView], estimator: Estimator, now_ms: int, tmp_path: Path
) -> None:
    watch = Watch(make_view())
    registry = CollectorRegistry()
    registry.register(
        ViewCollector(watch.view, lambda: now_ms, estimator, false_alarm_days=30, segments=9)
    )
    published: list[Output] = []
    reports = ReportQueue(ReportStore(tmp_path, 3), unmade, lambda: now_ms)
    app = create_app(
        Interface(
            watch=watch,
            now_ms=lambda: now_ms,
            estimator=estimator,
            registry=registry,
            false_alarm_days=30,
            refresh_seconds=15,
            host="127.0.0.1",
            pages=(
                ControlPages(watch.view, published.append, lambda: now_ms, 30),
                TopicPages(watch.view, unexplained, lambda: now_ms, 30),
                ReportPages(reports, lambda: now_ms),
                CostPages(made_up_costs),
            ),
        )
    )
    with serve(app) as port:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run"),
                f"http://127.0.0.1:{port}/openapi.json",
                *("--checks", CHECKS, "--max-examples", "4", "--seed", "7", "--no-color"),
                *("--phases", "examples,coverage,fuzzing"),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    reports.wait(10)
    assert done.returncode == 0, done.stdout[-16000:]
