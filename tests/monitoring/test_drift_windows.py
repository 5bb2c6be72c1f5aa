"""The monitor on sketches of drift, from window to verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from tidegauge.detection import polya_urn
from tidegauge.detection.indicators import Hits, Indicator
from tidegauge.detection.polya_urn import PolyaUrn
from tidegauge.detection.reference import build
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import State
from tidegauge.schemas.sketches import Sampled, Sketch

if TYPE_CHECKING:
    from tests.monitoring.conftest import Harness, Traffic


def drift_sketch(traffic: Traffic, window: int, hits: int, version: int, baseline: str) -> Sketch:
    return traffic.writers["drift"].sketch(
        window,
        segment=traffic.version(version),
        events=5,
        hits={"cluster/0": hits, "cluster/1": 5 - hits},
        baseline=baseline,
    )


def test_topics_are_tested_over_all_versions_together(harness: Harness, traffic: Traffic) -> None:
    indicators = [
        Indicator(name=f"cluster/{k}", title=t, family="clusters", counter=Hits(f"cluster/{k}"))
        for k, t in enumerate(("refunds", "weather"))
    ]
    reference = build(
        baseline="drift-1",
        segment=Segment(model=""),
        indicators=indicators,
        hits=np.array([100, 900]),
        trials=np.array([1000, 1000]),
    )
    harness.monitor.use("drift", "drift-1", {"drift.topics": {"": reference}}, harness.now_ms)
    for window in range(40):
        version = 1 + window % 2
        harness.give(
            drift_sketch(traffic, window, 0 if window < 20 else 4, version, "drift-1"),
            drift_sketch(traffic, window, 5, version, "drift-0"),
            traffic.writers["drift"].progress(window + 1),
        )
    (alert,) = harness.alerts()
    assert alert.segment == Segment(model="m", route="/chat")
    assert alert.verdict.effects[0].title in {"refunds", "weather"}
    assert "all traffic" in alert.summary
    assert harness.verdicts("drift.topics")[15].state == State.OK


def test_an_alarm_that_escalates_is_told_anew(harness: Harness, traffic: Traffic) -> None:
    baseline = build_rates_baseline(traffic.baseline_windows()).to_bytes()
    reference = build(
        baseline="drift-1",
        segment=Segment(model=""),
        indicators=[
            Indicator(
                name=f"cluster/{k}", title=f"{k}", family="clusters", counter=Hits(f"cluster/{k}")
            )
            for k in range(2)
        ],
        hits=np.array([100, 900]),
        trials=np.array([1000, 1000]),
    )
    harness.monitor.use("drift", "drift-1", {"drift.topics": {"": reference}}, harness.now_ms)
    rates = RatesBaseline.from_bytes(baseline, "rates-1").references
    harness.monitor.use("rates", "rates-1", rates, harness.now_ms)
    for window in range(60):
        harness.give(
            drift_sketch(traffic, window, 0 if window < 10 else 4, 1, "drift-1"),
            traffic.vitals(window, 4, slower=1.0 if window < 30 else 4.0),
            traffic.writers["drift"].progress(window + 1),
            traffic.writers["vitals"].progress(window + 1),
        )
    first, slow, louder = harness.alerts()[:3]
    assert "Quality, latency and errors raise no alarm" in first.summary
    assert (slow.monitor, louder.severity, louder.alert_id) == (
        "latency.total",
        "critical",
        first.alert_id,
    )
    assert "In the same traffic latency alarms as well" in louder.summary
    assert "raise no alarm" not in louder.summary
    assert first.incident != slow.incident, "they did not begin together"


@pytest.mark.parametrize("strange_callers", [("acme",), ("acme", "globex", "initech")])
def test_a_drift_alarm_says_whose_the_strange_requests_are(
    traffic: Traffic, strange_callers: tuple[str, ...]
) -> None:
    harness = traffic.harness(display_range_ms=48_000)
    reference = build(
        baseline="drift-1",
        segment=Segment(model=""),
        indicators=[
            Indicator(
                name=f"cluster/{k}",
                title=f"topic {k}",
                family="clusters",
                counter=Hits(f"cluster/{k}", of="embedded"),
            )
            for k in range(2)
        ],
        hits=np.array([20, 980]),
        trials=np.array([1000, 1000]),
    )
    harness.monitor.use("drift", "drift-1", {"drift.topics": {"": reference}}, harness.now_ms)
    customers = ("acme", "globex", "initech")
    for window in range(40):
        strange = 0 if window < 20 else 3
        callers = [strange_callers[(window + n) % len(strange_callers)] for n in range(strange)]
        rest = [customers[(window + n) % 3] for n in range(9 - strange)]
        sketch = traffic.writers["drift"].sketch(
            window,
            events=9,
            hits={"embedded": 9, "cluster/0": strange, "cluster/1": 9 - strange},
            baseline="drift-1",
        )
        shown = [(who, "cluster/0") for who in callers] + [(who, "cluster/1") for who in rest]
        sample = [
            Sampled(int(traffic.rng.integers(2**32)), who, ("embedded", cluster))
            for who, cluster in shown
        ]
        harness.give(
            msgspec.structs.replace(sketch, sample=tuple(sorted(sample))),
            traffic.writers["drift"].progress(window + 1),
        )
    verdict = harness.verdicts("drift.topics")[-1]
    assert verdict.state == State.WARN
    effects = {effect.indicator: effect for effect in verdict.effects}
    found = effects["cluster/0"].callers
    assert found is not None
    # All 20 windows since the change; the first stretch may begin a little before it.
    assert found.hits == 60
    assert 180 <= found.trials <= 200
    shares = [one.hits / found.hits for one in found.shares]
    assert shares == pytest.approx([1 / len(strange_callers)] * len(strange_callers), abs=0.05)
    assert [one.apart for one in found.shares] == (
        [True] if len(strange_callers) == 1 else [False] * 3
    )
    assert effects["cluster/1"].callers is None, "fewer show it: nobody brings that"


def test_a_drift_worker_on_another_baseline_is_not_tested(
    harness: Harness, traffic: Traffic
) -> None:
    reference = build(
        baseline="drift-1",
        segment=Segment(model=""),
        indicators=[
            Indicator(name="cluster/0", title="a", family="clusters", counter=Hits("cluster/0"))
        ],
        hits=np.array([100]),
        trials=np.array([1000]),
    )
    harness.monitor.use("drift", "drift-1", {"drift.topics": {"": reference}}, harness.now_ms)
    harness.give(drift_sketch(traffic, 0, 5, 1, "drift-0"), traffic.writers["drift"].progress(1))
    (verdict,) = harness.verdicts("drift.topics")
    assert verdict.state == State.NO_BASELINE
    assert "drift-0" in verdict.sentence


@pytest.mark.parametrize(("rate", "expected"), [(1, State.NO_DATA), (5, State.WARN)])
def test_a_statistic_that_is_no_number_is_an_alarm_of_the_pipeline(
    harness: Harness,
    traffic: Traffic,
    monkeypatch: pytest.MonkeyPatch,
    rate: int,
    expected: State,
) -> None:
    """The bets on the urn break; what the bands say still counts, and quiet is not said."""
    reference = build(
        baseline="drift-1",
        segment=Segment(model=""),
        indicators=[
            Indicator(name="cluster/0", title="a", family="clusters", counter=Hits("cluster/0"))
        ],
        hits=np.array([200]),
        trials=np.array([1000]),
    )
    urn = PolyaUrn(
        labels=("0", "1"), owners=(0, 0), spacings=(800.5, 200.5), mixture_weights=(0.5,), share=0.5
    )
    reference = msgspec.structs.replace(reference, polya_urns=(urn,))
    harness.monitor.use("drift", "drift-1", {"drift.topics": {"": reference}}, harness.now_ms)
    monkeypatch.setattr(polya_urn, "_log_gains", lambda *_: np.array([np.nan]))
    for window in range(40):
        harness.give(
            drift_sketch(traffic, window, rate, 1, "drift-1"),
            traffic.writers["drift"].progress(window + 1),
        )
    last = harness.monitor.view().verdict("drift.topics", Segment(model="m", route="/chat"))
    assert last is not None
    assert last.state == expected
    assert {v.state for v in harness.verdicts("drift.topics")} <= {State.NO_DATA, State.WARN}
    (alert,) = harness.alerts("pipeline.statistics.drift.topics")
    assert (alert.severity, alert.signal) == ("warn", "pipeline")
    assert "Statistics of drift.topics that are not finite numbers: 1" in alert.summary
    assert len(harness.alerts("drift.topics")) == (expected == State.WARN)
