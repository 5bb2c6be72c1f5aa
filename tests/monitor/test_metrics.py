from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.monitor.made_up import SUPPORT

from tidegauge.monitor.metrics import MAX_CUSTOMERS, NAMES, ViewCollector
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.quality import Estimator
from tidegauge.schemas import measures
from tidegauge.schemas.segments import Segment

Samples = dict[str, list[tuple[dict[str, str], float]]]


@pytest.fixture
def scrape(estimator: Estimator, now_ms: int) -> Callable[..., Samples]:
    def scraped(view: MonitorView | None, segments: int = 200) -> Samples:
        registry = CollectorRegistry()
        registry.register(
            ViewCollector(
                lambda: view, lambda: now_ms, estimator, false_alarm_days=30, segments=segments
            )
        )
        found: Samples = {}
        for family in text_string_to_metric_families(generate_latest(registry).decode()):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found

    return scraped


def labels(version: str) -> dict[str, str]:
    return {
        "model": "support-chat",
        "version": version,
        "route": "/v1/chat/completions",
        "customer": "",
    }


def test_every_name_has_a_sample_on_a_busy_night(
    make_view: Callable[[], MonitorView], scrape: Callable[..., Samples]
) -> None:
    assert set(NAMES) <= set(scrape(make_view()))


def test_before_there_is_a_view_there_is_the_promise(scrape: Callable[..., Samples]) -> None:
    assert scrape(None)["tidegauge_false_alarm_days"] == [({}, 30.0)]


def test_numbers_are_those_of_the_view(
    make_view: Callable[..., MonitorView], scrape: Callable[..., Samples]
) -> None:
    found = scrape(make_view(missing=7))
    assert (labels("v1"), 1200.0) in found["tidegauge_requests_total"]
    assert found["tidegauge_ledger_balanced"] == [({}, 0.0)]
    assert (
        {"topic": "requests.v1", "worker": "drift", "fate": "missing"},
        7.0,
    ) in found["tidegauge_ledger_events"]
    assert ({"signal": "quality", "severity": "critical"}, 1.0) in found["tidegauge_alerts_firing"]
    states = {
        (sample["monitor"], sample["version"]): sample["state"]
        for sample, value in found["tidegauge_monitor_state"]
        if value == 1
    }
    assert states["drift.topics", ""] == "warn"
    assert states["quality.rubric", "v1"] == "unqualified"
    (p95,) = [
        value
        for sample, value in found["tidegauge_latency_seconds"]
        if sample == {**labels("v1"), "quantile": "0.95"}
    ]
    assert 1.0 < p95 < 3.0
    ratios = {
        sample["monitor"]: value for sample, value in found["tidegauge_monitor_evidence_ratio"]
    }
    assert ratios["drift.topics"] == pytest.approx(24.9 / 17.2)


def test_an_alarms_rate_stands_beside_its_band_and_its_onset_is_a_moment(
    make_view: Callable[[], MonitorView], scrape: Callable[..., Samples]
) -> None:
    view = make_view()
    began = tuple(
        msgspec.structs.replace(alert, onset_ms=1_700_000_000_500 + place)
        for place, alert in enumerate(view.alerts)
    )
    found = scrape(msgspec.structs.replace(view, alerts=began))
    (drift,) = (verdict for verdict in view.verdicts if verdict.monitor == "drift.topics")
    rates = {
        sample["bound"]: value
        for sample, value in found["tidegauge_monitor_rate_ratio"]
        if sample["monitor"] == "drift.topics"
    }
    leading = drift.effects[0]
    now = leading.hits / leading.trials
    assert rates == {"now": now, "low": leading.low, "high": leading.high}
    onsets = {
        (sample["monitor"], sample["severity"]): value
        for sample, value in found["tidegauge_alert_onset_timestamp_seconds"]
    }
    assert onsets == {
        (alert.monitor, alert.severity): (1_700_000_000_500 + place) / 1000
        for place, alert in enumerate(view.alerts)
    }


def test_unsupported_answers_are_a_rate_beside_the_answers_that_had_a_context(
    make_view: Callable[[], MonitorView], scrape: Callable[..., Samples]
) -> None:
    found = scrape(make_view())
    judge = {**labels("v1"), "judge": SUPPORT}
    rates = {
        sample["bound"]: value
        for sample, value in found["tidegauge_hallucination_ratio"]
        if sample | judge == sample
    }
    assert rates["rate"] == 0.1
    assert rates["low"] < 0.1 < rates["high"]
    assert (judge, 40.0) in found["tidegauge_hallucination_checked"]
    assert ({**labels("v1"), "context": "cut"}, 5.0) in found["tidegauge_context_answers"]


def test_segments_and_customers_are_capped_and_the_rest_counted(
    make_view: Callable[[], MonitorView], scrape: Callable[..., Samples]
) -> None:
    view = make_view()
    item = view.segments[0]
    total = item.total["vitals"]
    customers = {f"c{number:03}": 200 - number for number in range(200)}
    crowd = msgspec.structs.replace(
        total,
        totals={
            measures.REQUESTS_BY_CUSTOMER: customers,
            measures.COST_NANOUSD_BY_CUSTOMER: dict.fromkeys(customers, 1_000_000_000),
        },
    )
    many = tuple(
        msgspec.structs.replace(
            item, segment=Segment(model=f"m{number:02}"), total={"vitals": crowd}
        )
        for number in range(30)
    )
    found = scrape(msgspec.structs.replace(view, segments=many), segments=10)
    assert len(found["tidegauge_requests_total"]) == 10
    assert found["tidegauge_segments_omitted"] == [({}, 20.0)]
    spent = found["tidegauge_customer_cost_usd_total"]
    assert len(spent) == MAX_CUSTOMERS + 1
    assert sum(value for _, value in spent) == pytest.approx(30 * 200)
    assert {sample["model"] for sample, _ in found["tidegauge_latency_seconds"]} <= {
        f"m{number:02}" for number in range(10)
    }


def test_a_caller_in_a_drift_card_is_no_label(
    make_view: Callable[..., MonitorView], scrape: Callable[..., Samples]
) -> None:
    found = scrape(make_view(who=("stranger", "globex")))
    values = {value for samples in found.values() for one, _ in samples for value in one.values()}
    assert "globex" in values, "customers have metrics of their own"
    assert "stranger" not in values


def test_names_that_look_alike_are_series_of_their_own(
    make_view: Callable[[], MonitorView], scrape: Callable[..., Samples]
) -> None:
    view = make_view()
    names = ("a b", "a  b", "a\tb", "a\u202eb", "ab", f"{'x' * 120}1", f"{'x' * 120}2")
    alike = tuple(
        msgspec.structs.replace(view.segments[0], segment=Segment(model=model)) for model in names
    )
    found = scrape(msgspec.structs.replace(view, segments=alike))["tidegauge_requests_total"]
    models = [labels["model"] for labels, _ in found]
    assert len(set(models)) == len(models) == len(names)
    assert {"a b", "ab"} <= set(models)
    assert max(map(len, models)) <= 110
    assert not any("\u202e" in model for model in models)


def test_a_label_cannot_break_out_of_its_line(
    make_view: Callable[[], MonitorView], scrape: Callable[..., Samples]
) -> None:
    view = make_view()
    odd = 'x"} 1\ntidegauge_forged 1\u202e'
    renamed = tuple(
        msgspec.structs.replace(item, segment=Segment(model=odd)) for item in view.segments[:1]
    )
    found = scrape(msgspec.structs.replace(view, segments=renamed))
    assert "tidegauge_forged" not in found
    assert found["tidegauge_requests_total"][0][0]["model"].startswith('x"} 1 tidegauge_forged 1 #')
