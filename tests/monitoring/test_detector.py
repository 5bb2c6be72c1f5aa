"""Latency as an alarm: what it promises while nothing changes, and how soon it sees a change."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from tidegauge.detection.indicators import StratifiedTail
from tidegauge.detection.reference import Reference
from tidegauge.monitoring.catalog import LATENCY_TOTAL
from tidegauge.monitoring.detector import (
    Detector,
    DetectorEvidence,
    IndicatorCounts,
    build_detector,
    effects_of,
    observe_window,
)
from tidegauge.monitoring.rate_references import latency_reference
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Monitor
from tidegauge.streaming import histogram

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

SEGMENT = Segment(model="m", version="v1", route="/chat")
SIGMA = 0.4
WINDOW = 10
HORIZON = 3_000
NULL_RATE = 0.05


def reference_of(traffic: Traffic, numbers: NDArray[np.float64]) -> Reference:
    """Build the reference of a stretch of latencies, ten in ten seconds."""
    writer = traffic.writers["vitals"]
    windows = [
        writer.sketch(
            WINDOW * 1000 // traffic.window_ms * window, values={measures.LATENCY_MS: part}
        )
        for window, part in enumerate(np.split(numbers, numbers.size // WINDOW))
    ]
    found = latency_reference(measures.LATENCY_MS, "latency", SEGMENT, windows, "UTC")
    assert isinstance(found, Reference)
    return found


def requests_to_alarm(reference: Reference, numbers: NDArray[np.float64]) -> int | None:
    """Look after every window; a window of ten lasts ten seconds."""
    log_threshold = math.log(HORIZON / NULL_RATE)
    detector = build_detector(LATENCY_TOTAL, SEGMENT, SEGMENT.key, reference, log_threshold)
    edges = [
        histogram.upper_edge(bucket)
        for indicator in reference.indicators
        if isinstance(indicator.counter, StratifiedTail)
        for bucket in set(indicator.counter.buckets.values())
    ]
    above = (numbers[:, None] > np.array(edges)).reshape(-1, WINDOW, len(edges)).sum(axis=1)
    trials = np.full(len(edges), WINDOW)
    evidence: DetectorEvidence | None = None
    for window, hits in enumerate(above):
        start = window * WINDOW * 1000
        evidence, decision = observe_window(
            detector,
            evidence,
            IndicatorCounts(hits, trials),
            start_ms=start,
            end_ms=start + WINDOW * 1000,
        )
        if decision.alarm:
            return (window + 1) * WINDOW
    return None


def naive_alarm(baseline: NDArray[np.float64], numbers: NDArray[np.float64]) -> bool:
    """Peek with a binomial z-test at 5% after every window, as dashboards do."""
    above = np.cumsum(numbers > np.quantile(baseline, 0.95))[WINDOW - 1 :: WINDOW]
    n = np.arange(WINDOW, numbers.size + 1, WINDOW)
    z = (above / n - 0.05) / np.sqrt(0.05 * 0.95 / n)
    return bool((z[5:] > 1.645).any())


def latencies(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return rng.lognormal(6.5, SIGMA, n)


def check_null(traffic: Traffic, streams: int, baseline: int) -> None:
    rng = np.random.default_rng(100 + baseline)
    ours = naive = 0
    for _ in range(streams):
        past, present = latencies(rng, baseline), latencies(rng, HORIZON)
        ours += requests_to_alarm(reference_of(traffic, past), present) is not None
        naive += naive_alarm(past, present)
    slack = 3 * math.sqrt(NULL_RATE * (1 - NULL_RATE) / streams)
    assert ours / streams <= NULL_RATE + slack
    assert naive / streams > NULL_RATE + slack, "peeking at a plain test must fail this"


def check_delay(traffic: Traffic, streams: int, promised: float) -> None:
    rng = np.random.default_rng(7)
    delays = [
        requests_to_alarm(
            reference_of(traffic, latencies(rng, 2_000)), 1.2 * latencies(rng, HORIZON)
        )
        or HORIZON
        for _ in range(streams)
    ]
    assert np.mean(delays) <= promised


def test_no_alarm_under_peeking_in_brief(traffic: Traffic) -> None:
    check_null(traffic, streams=25, baseline=1_000)


@pytest.mark.stats
@pytest.mark.parametrize("baseline", [150, 2_000])
def test_no_alarm_under_peeking(traffic: Traffic, baseline: int) -> None:
    check_null(traffic, streams=400, baseline=baseline)


def test_a_p95_that_is_a_fifth_worse_is_found_in_brief(traffic: Traffic) -> None:
    check_delay(traffic, streams=10, promised=557)


@pytest.mark.stats
def test_a_p95_that_is_a_fifth_worse_is_found(traffic: Traffic) -> None:
    check_delay(traffic, streams=200, promised=480)


def detector_for(traffic: Traffic, monitor: Monitor) -> Detector:
    rng = np.random.default_rng(1)
    return build_detector(
        monitor, SEGMENT, SEGMENT.key, reference_of(traffic, latencies(rng, 500)), 10.0
    )


def test_faster_answers_are_no_alarm(traffic: Traffic) -> None:
    rng = np.random.default_rng(2)
    reference = reference_of(traffic, latencies(rng, 500))
    assert requests_to_alarm(reference, 0.3 * latencies(rng, HORIZON)) is None


def test_the_whole_budget_is_on_harm(traffic: Traffic) -> None:
    bets = detector_for(traffic, LATENCY_TOTAL).bets
    assert np.exp(bets.log_weights).sum() == pytest.approx(1)
    assert np.isneginf(bets.log_weights[:, 5:]).all()


def test_time_without_events_passes_and_brings_no_evidence(traffic: Traffic) -> None:
    """Shown or not, empty windows give the same statistic."""
    detector = detector_for(traffic, LATENCY_TOTAL)
    hits = np.array([6, 4, 2, 1])
    some, none = (
        IndicatorCounts(hits, np.full(4, 10)),
        IndicatorCounts(np.zeros(4, np.int64), np.zeros(4, np.int64)),
    )
    evidence, _ = observe_window(detector, None, some, start_ms=0, end_ms=2_000)
    jumped, late = observe_window(detector, evidence, some, start_ms=10_000, end_ms=12_000)
    for start in range(2_000, 10_000, 2_000):
        evidence, _ = observe_window(detector, evidence, none, start_ms=start, end_ms=start + 2_000)
    evidence, stepwise = observe_window(detector, evidence, some, start_ms=10_000, end_ms=12_000)
    assert late.log_statistic == pytest.approx(stepwise.log_statistic, abs=1e-12)
    assert jumped.bets.elapsed_seconds == evidence.bets.elapsed_seconds
    assert jumped.events == evidence.events == 20


@pytest.mark.parametrize("quiet", [20, 400])
def test_a_change_is_dated_and_sized_however_long_it_was_quiet(
    traffic: Traffic, quiet: int
) -> None:
    rng = np.random.default_rng(5)
    detector = build_detector(
        LATENCY_TOTAL, SEGMENT, SEGMENT.key, reference_of(traffic, latencies(rng, 1_000)), 20
    )
    evidence: DetectorEvidence | None = None
    for window in range(quiet + 12):
        rates = [0.9, 0.8, 0.6, 0.5] if window >= quiet else [0.5, 0.25, 0.1, 0.03]
        counted = IndicatorCounts(rng.binomial(WINDOW, rates), np.full(4, WINDOW))
        evidence, decision = observe_window(
            detector, evidence, counted, start_ms=window * 10_000, end_ms=(window + 1) * 10_000
        )
    assert evidence is not None
    effect = effects_of(detector, evidence, decision)[0]
    assert abs(effect.since_ms - quiet * 10_000) <= 20_000
    assert 100 <= effect.trials <= 150
    assert effect.hits / effect.trials > 0.4
