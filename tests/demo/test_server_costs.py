"""The demonstration shows the server's use, its idle time and each customer's cost."""

from __future__ import annotations

import io

import msgspec
from fastapi import FastAPI
from fastapi.testclient import TestClient
from rich.console import Console

from tidegauge.cost.account import CostAccount
from tidegauge.cost.hourly_bills import HourlyBills
from tidegauge.demo.server_costs import DemoCosts, show_costs
from tidegauge.monitor.web.cost_pages import CostPages
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.reports.cost_view import cost_view
from tidegauge.schemas.upstream_events import (
    UpstreamMinute,
    UpstreamSample,
    UpstreamWork,
    WorkAmounts,
    WorkRow,
)

UPSTREAM, HOUR_MS = "127.0.0.1:8000", 3_600_000


def test_what_the_api_says_is_shown() -> None:
    account = CostAccount(0, 2**62)
    row = WorkRow("m/v1//", "acme", "served", WorkAmounts(requests=2, prompt_tokens=100))
    minute = UpstreamMinute(UPSTREAM, 0, (2**600 - 1).to_bytes(150, "little"), b"", (row,))
    account.add(UpstreamWork(producer_id="v", sequence=1, time_ms=0, minutes=(minute,)))
    account.add(UpstreamSample(upstream=UPSTREAM, time_ms=1, running=3.0, waiting=0.0, kv_use=0.5))
    view = cost_view(HourlyBills(account), {UPSTREAM: 60.0}, HOUR_MS, 1)
    app = FastAPI()
    CostPages(lambda: view).mount(app, Renderer(0))
    answer = TestClient(app).get("/api/costs").content
    console = Console(file=io.StringIO(), width=160)
    show_costs(msgspec.json.decode(answer, type=DemoCosts), console)
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert f"{UPSTREAM}, last 1 h" in said
    assert "idle" in said
    assert "3 running" in said
    assert "acme" in said
