"""The monitor's costs: followed from the log, shown on a page, as JSON, CSV and metrics."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.monitor.made_up_costs import (
    HOUR_MS,
    NOW_MS,
    PRICES,
    UPSTREAM,
    made_up_costs,
    sample,
    work,
)

from tidegauge.cost.account import CostAccount
from tidegauge.cost.hourly_bills import HourlyBills
from tidegauge.cost.prices import GpuPrice
from tidegauge.gateway.configuration import Catalog
from tidegauge.gateway.errors import ConfigurationError
from tidegauge.monitor.cost_metrics import COST_NAMES, CostCollector
from tidegauge.monitor.costs import CatalogFile, CostBoard
from tidegauge.monitor.metrics import MAX_CUSTOMERS
from tidegauge.monitor.web.cost_pages import CostPages
from tidegauge.monitor.web.rendering import Renderer
from tidegauge.reports.cost_view import CostView, cost_view
from tidegauge.reports.forecast import forecast
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import encode
from tidegauge.schemas.topics import UPSTREAMS
from tidegauge.schemas.upstream_events import (
    MINUTE_MS,
    UpstreamMinute,
    UpstreamWork,
    WorkAmounts,
    WorkRow,
)
from tidegauge.streaming.processor import Partition, Record


@pytest.fixture
def view() -> CostView:
    return made_up_costs()


@pytest.fixture
def client(view: CostView) -> TestClient:
    app = FastAPI()
    CostPages(lambda: view).mount(app, Renderer(15))
    return TestClient(app)


def test_the_hours_of_the_view_add_up(view: CostView) -> None:
    assert view.bill.usd == pytest.approx(120.0)
    assert [hour.usd for hour in view.hours] == pytest.approx([60.0, 60.0])
    assert [hour.requests for hour in view.hours] == [0, 2]
    (now,) = view.upstreams
    assert (now.usd_per_hour, now.silent_seconds) == (60.0, 90.0)
    # 90 s before, its metrics said that it works, and no gateway had sent anything.
    assert view.bill.upstreams[0].residual_usd > 0


def test_the_forecast_follows_prices_and_the_rate_of_tokens() -> None:
    account = CostAccount(0, 2**62)
    amounts = WorkAmounts(requests=1, nanousd=2_000_000_000)
    row = WorkRow("m/v1//", "acme", "served", amounts)
    minute = UpstreamMinute("api.example", NOW_MS - HOUR_MS, b"", b"", (row,))
    account.add(UpstreamWork(producer_id="v", sequence=1, time_ms=0, minutes=(minute,)))
    view = cost_view(HourlyBills(account), PRICES, NOW_MS, 8)
    hours = (view.forecast.until_ms - NOW_MS) / HOUR_MS
    assert view.forecast.usd == pytest.approx((60.0 + 2 / 8) * hours)
    assert view.forecast.low_usd == pytest.approx(60.0 * hours)  # time is certain, tokens are not
    assert view.forecast.high_usd is not None
    assert view.forecast.high_usd > (60.0 + 2 / 8) * hours


def test_a_swap_is_priced_by_both_versions(
    scrape: Callable[[CostView | None], dict[str, dict[tuple[str, ...], float]]],
) -> None:
    account = CostAccount(0, 2**62)
    for n, (version, line, nanousd) in enumerate(
        [("v1", "served", 10**9), ("v3", "shadow", 10**9), ("v2", "served", 3 * 10**9)]
    ):
        amounts = WorkAmounts(requests=1, openings=1, prompt_tokens=1_000_000, nanousd=nanousd)
        row = WorkRow(f"m/{version}//", "acme", line, amounts)  # type: ignore[arg-type]
        start_ms = NOW_MS - (3 - n) * HOUR_MS
        minute = UpstreamMinute("api.example", start_ms, b"", b"", (row,))
        account.add(UpstreamWork(producer_id="v", sequence=n + 1, time_ms=n, minutes=(minute,)))
    view = cost_view(HourlyBills(account), {}, NOW_MS, 8)
    (swap,) = view.swaps
    assert (swap.model, swap.old, swap.new, swap.since_ms) == ("m", "v1", "v2", NOW_MS - HOUR_MS)
    assert (swap.before.usd_per_million, swap.after.usd_per_million) == pytest.approx((1.0, 3.0))
    assert swap.after.usd_per_conversation == pytest.approx(3.0)
    assert set(scrape(view)["tidegauge_bill_forecast_usd"]) == {("expected",), ("low",), ("high",)}
    app = FastAPI()
    CostPages(lambda: view).mount(app, Renderer(15))
    client = TestClient(app)
    assert "<bdi>v1</bdi> to <bdi>v2</bdi>" in client.get("/costs").text
    facts = client.get("/api/costs").json()
    assert facts["swaps"][0]["after"]["usd_per_conversation"] == 3.0
    assert facts["forecast"]["low_usd"] < facts["forecast"]["usd"]


def test_a_budget_is_over_where_both_burn_rates_are() -> None:
    account = CostAccount(0, 2**62)
    account.add(work("acme", start_ms=NOW_MS - 10 * MINUTE_MS))
    budgets = {"acme": 100.0, "all": 1_000_000.0, "quiet": 1.0}
    found = {
        one.name: one for one in cost_view(HourlyBills(account), PRICES, NOW_MS, 2, budgets).budgets
    }
    month_hours = 31 * 24
    assert found["acme"].spent_usd == pytest.approx(0.5)
    assert found["acme"].hour_burn == pytest.approx(0.5 * month_hours / 100)
    assert found["acme"].burn == pytest.approx(0.25 * month_hours / 100)
    assert found["all"].burn == pytest.approx(60 * month_hours / 1e6)
    assert {name for name, one in found.items() if one.over} == {"acme"}
    later = cost_view(HourlyBills(account), PRICES, NOW_MS + HOUR_MS, 2, {"acme": 100.0}).budgets[0]
    assert later.burn > 1
    assert not later.over  # it has ended


def test_the_page_escapes_and_says_silence(client: TestClient) -> None:
    page = client.get("/costs").text
    assert "&lt;b&gt;acme" in page
    assert "<b>acme" not in page
    assert "no answer" in page
    assert "$120" in page
    assert "GPU 0: engines active 90%, tensor cores 40%, memory 50%, 600 W, 4.00 kWh" in page


def test_json_and_csv_add_up(client: TestClient) -> None:
    facts = json.loads(client.get("/api/costs").text)
    assert facts["usd"] == pytest.approx(120.0)
    assert facts["upstreams"][0]["sample"]["kv_use"] == 0.4
    rows = list(csv.DictReader(io.StringIO(client.get("/api/bill.csv").text)))
    assert sum(float(row["usd"] or 0) for row in rows) == pytest.approx(120.0)


def test_before_the_first_view() -> None:
    app = FastAPI()
    CostPages(lambda: None).mount(app, Renderer(15))
    client = TestClient(app)
    assert "Nothing is known yet" in client.get("/costs").text
    assert [client.get(path).status_code for path in ("/api/costs", "/api/bill.csv")] == [503, 503]


@pytest.fixture
def scrape() -> Callable[[CostView | None], dict[str, dict[tuple[str, ...], float]]]:
    def scraped(view: CostView | None) -> dict[str, dict[tuple[str, ...], float]]:
        registry = CollectorRegistry()
        registry.register(CostCollector(lambda: view))
        return {
            family.name: {tuple(one.labels.values()): one.value for one in family.samples}
            for family in text_string_to_metric_families(generate_latest(registry).decode())
        }

    return scraped


def test_metrics(
    view: CostView, scrape: Callable[[CostView | None], dict[str, dict[tuple[str, ...], float]]]
) -> None:
    found = scrape(view)
    parts = [found["tidegauge_upstream_cost_usd"][part, UPSTREAM] for part in ("shares", "idle")]
    assert parts[0] == pytest.approx(0.5)
    assert found["node_total_hourly_cost"] == {(UPSTREAM, UPSTREAM): 60.0}
    assert found["node_gpu_hourly_cost"] == {(UPSTREAM, UPSTREAM): 60.0}
    assert found["node_gpu_count"] == {(UPSTREAM, UPSTREAM): 1.0}
    assert found["tidegauge_budget_usd"] == {("all",): 100.0}
    assert found["tidegauge_gpu_engine_active_ratio"] == {("0", UPSTREAM): 0.9}
    assert found["tidegauge_upstream_silence_seconds"] == {(UPSTREAM,): 90.0}
    assert found["tidegauge_upstream_tokens"]["generated", UPSTREAM] == 100.0
    assert found["tidegauge_upstream_preemptions"] == {(UPSTREAM,): 2.0}
    assert found["tidegauge_upstream_finished"]["length", UPSTREAM] == 2.0
    assert found["tidegauge_gpu_tensor_active_ratio"] == {("0", UPSTREAM): 0.4}
    assert found["tidegauge_gpu_energy_joules"] == {("0", UPSTREAM): 14.4e6}
    assert set(scrape(None)) == set(COST_NAMES)
    assert not any(scrape(None).values())


def test_customers_are_capped(
    scrape: Callable[[CostView | None], dict[str, dict[tuple[str, ...], float]]],
) -> None:
    account = CostAccount(0, 2**62)
    account.add(work(*(f"customer {n}" for n in range(200))))
    found = scrape(cost_view(HourlyBills(account), PRICES, NOW_MS, 2))[
        "tidegauge_bill_customer_usd"
    ]
    assert len(found) == MAX_CUSTOMERS + 1
    assert sum(found.values()) == pytest.approx(0.5)


def test_the_board_reads_events_and_prices(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    board = CostBoard(KafkaSettings(), CatalogFile(file), lambda: NOW_MS, 2)
    board.add(encode(work("acme")))
    board.add(encode(sample()))
    board.add(b"no event")
    board.refresh()  # without the file: costs are shown without prices
    view = board.view()
    assert view is not None
    assert view.bill.unpriced == (UPSTREAM,)
    file.write_text(
        f"models: {{m: {{upstreams: [{{url: 'http://{UPSTREAM}', gpu_usd_per_hour: 60}}]}}}}"
    )
    board.refresh()
    view = board.view()
    assert view is not None
    assert view.bill.usd == pytest.approx(120.0)


@pytest.mark.parametrize(("hours", "bound"), [(0, None), (5, None), (6, 4.0)])
def test_hours_without_cost_are_certain_only_after_some(hours: int, bound: float | None) -> None:
    found = forecast([0.0] * hours, {UPSTREAM: 2.0}, 0, 2 * HOUR_MS)
    assert (found.usd, found.low_usd, found.high_usd) == (4.0, bound, bound)


def test_no_view_is_made_of_what_has_been_read_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    board = CostBoard(KafkaSettings(), CatalogFile(None), lambda: NOW_MS, 2)
    stop = Event()
    seen: list[CostView | None] = []

    def follow(*_: object, **__: object) -> Iterator[Record | None]:
        for offset, value in enumerate((encode(work("acme")), encode(sample()))):
            yield Record(Partition(UPSTREAMS.name, 0), offset, value, timestamp_ms=NOW_MS)
            seen.append(board.view())
        yield None
        seen.append(board.view())
        stop.set()

    monkeypatch.setattr("tidegauge.runtime.kafka.reader.follow", follow)
    monkeypatch.setattr("tidegauge.runtime.kafka.reader.oldest_ms", lambda *_: NOW_MS)
    board.run(stop)
    assert seen[:2] == [None, None]
    assert seen[2] is not None
    assert seen[2].bill.unpriced == (UPSTREAM,)


def test_a_configuration_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("models: {one: {upstreams: [{url: 'http://a:1'}]}}")
    catalog = CatalogFile(file)
    assert catalog() is catalog()
    file.write_text("models: {other: {upstreams: [{url: 'http://a:1'}]}}")
    assert list(catalog().models) == ["other"]
    file.unlink()
    with pytest.raises(ConfigurationError, match=r"models\.yaml"):
        catalog()
    assert CatalogFile(None)() == Catalog({})


def test_a_key_that_is_not_known_has_no_id(
    scrape: Callable[[CostView | None], dict[str, dict[tuple[str, ...], float]]],
) -> None:
    account = CostAccount(0, 2**62)
    account.add(work("acme", f"{'a' * 110}1", f"{'a' * 110}2"))
    found = scrape(cost_view(HourlyBills(account), PRICES, NOW_MS, 2))
    assert ("acme", "") in found["tidegauge_bill_key_usd"]
    assert len(found["tidegauge_bill_customer_usd"]) == 3  # long names are told apart


def test_hours_before_the_log_begins_are_not_free() -> None:
    account = CostAccount(0, 2**62)
    account.began_ms = NOW_MS - 2 * HOUR_MS
    row = WorkRow("m/v1//", "acme", "served", WorkAmounts(requests=1, nanousd=2_000_000_000))
    minute = UpstreamMinute("api.example", NOW_MS - HOUR_MS, b"", b"", (row,))
    account.add(UpstreamWork(producer_id="v", sequence=1, time_ms=0, minutes=(minute,)))
    ahead = cost_view(HourlyBills(account), {}, NOW_MS, 8).forecast
    hours = (ahead.until_ms - NOW_MS) / HOUR_MS
    assert ahead.usd == pytest.approx(1.0 * hours)
    assert ahead.low_usd is None
    account.began_ms = NOW_MS
    unknown = cost_view(HourlyBills(account), {}, NOW_MS, 8)
    assert unknown.forecast.usd is None
    app = FastAPI()
    CostPages(lambda: unknown).mount(app, Renderer(15))
    assert "not known before a whole hour" in TestClient(app).get("/costs").text


def test_a_server_that_was_taken_out_is_not_called_silent() -> None:
    account = CostAccount(0, 2**62)
    account.add(sample(time_ms=NOW_MS - 90_000))
    account.add(sample("no answer"))
    (asked,) = cost_view(HourlyBills(account), {}, NOW_MS, 2, asked={UPSTREAM}).upstreams
    assert asked.silent_seconds == 90.0
    assert cost_view(HourlyBills(account), {}, NOW_MS, 2, asked=()).upstreams == ()


def test_the_page_lists_time_by_the_kind_of_its_price() -> None:
    prices = {UPSTREAM: (GpuPrice(usd=6.0, kind="spot"),)}
    view = cost_view(HourlyBills(CostAccount(0, 2**62)), prices, NOW_MS, 2)
    app = FastAPI()
    CostPages(lambda: view).mount(app, Renderer(15))
    client = TestClient(app)
    assert "spot 2 h for $12.00" in client.get("/costs").text
    (server,) = client.get("/api/costs").json()["bill"]
    assert server["kinds"] == [["spot", 7_200.0, pytest.approx(12.0)]]
