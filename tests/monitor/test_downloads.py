from __future__ import annotations

import csv
import io
from collections.abc import Callable

import msgspec
import pytest

from tidegauge.monitor.web.downloads import account_csv, trend_csv
from tidegauge.monitoring.view import MonitorView
from tidegauge.schemas import measures


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_trend_has_a_line_for_each_stretch_and_no_zero_for_the_unknown(
    make_view: Callable[[], MonitorView],
) -> None:
    found = make_view().segments[0]
    lines = rows(trend_csv(found))
    assert len(lines) == len(found.trend) == 15
    assert lines[0]["start"] == "2023-11-14T21:58:20+00:00"
    assert float(lines[0]["latency_p95_ms"]) == found.trend[0].latency_p95_ms
    assert lines[6]["latency_p95_ms"] == ""
    assert lines[6]["requests"] == "0"
    assert "likelihood@9f86d081/relevance" in lines[0]


def test_the_account_adds_up_to_the_cost(make_view: Callable[[], MonitorView]) -> None:
    view = make_view()
    header = account_csv(view).splitlines()[0].split(",")
    assert len(header) == len(set(header)), "a reader of columns by name sees all of them"
    lines = rows(account_csv(view))
    first = [line for line in lines if line["version"] == "v1"]
    total = view.segments[0].total["vitals"]
    nano = total.totals[measures.COST_NANOUSD_BY_CUSTOMER]
    assert {line["customer"]: float(line["cost_usd"]) for line in first} == pytest.approx(
        {name: number / 1e9 for name, number in nano.items()}
    )
    assert sum(int(line["requests"]) for line in first) == sum(
        total.totals[measures.REQUESTS_BY_CUSTOMER].values()
    )


@pytest.mark.parametrize("odd", ["=1+1", "+cmd|' /C calc'!A0", "-2", "@SUM(A1)", 'a"b,c\nd'])
def test_a_customers_name_is_no_formula(make_view: Callable[[], MonitorView], odd: str) -> None:
    view = make_view()
    first = view.segments[0]
    total = msgspec.structs.replace(
        first.total["vitals"], totals={measures.REQUESTS_BY_CUSTOMER: {odd: 3}}
    )
    changed = msgspec.structs.replace(first, total={"vitals": total})
    (line,) = rows(account_csv(msgspec.structs.replace(view, segments=(changed,))))
    assert line["customer"] == (odd if odd.startswith("a") else f"'{odd}")
    assert line["requests"] == "3"
