"""Two weeks of a service whose nights differ from its days."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tidegauge.detection.reference import Reference, build
from tidegauge.monitoring.catalog import ERRORS_RATE
from tidegauge.monitoring.detector import build_detector, count_window, observe_window
from tidegauge.monitoring.rates import build_rates_baseline
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Sketch

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic

HOUR_MS = 3_600_000
MONDAY_MS = 1_700_438_400_000
LOG_THRESHOLD = np.log(30 * 86_400 / 0.15)


def hours(traffic: Traffic, first: int, count: int, worse: float = 1.0) -> list[Sketch]:
    """Draw hours of traffic: 1% of errors at night, 10% by day, and answers slower by half."""
    found = []
    for hour in range(first, first + count):
        day = 8 <= hour % 24 < 20
        errors = int(traffic.rng.binomial(200, worse * (0.1 if day else 0.01)))
        sketch = traffic.vitals(0, 200, slower=1.5 if day else 1.0)
        found.append(
            msgspec.structs.replace(
                sketch,
                window_start_ms=MONDAY_MS + hour * HOUR_MS,
                window_ms=HOUR_MS,
                hits={measures.ERROR: errors},
                trials={measures.ERROR: 200},
            )
        )
    return found


def alarms(reference: Reference, traffic: Traffic, stream: list[Sketch]) -> bool:
    detector = build_detector(
        ERRORS_RATE, traffic.version(1), traffic.version(1).key, reference, LOG_THRESHOLD
    )
    evidence = None
    for sketch in stream:
        start = sketch.window_start_ms
        evidence, decision = observe_window(
            detector,
            evidence,
            count_window(detector, sketch),
            start_ms=start,
            end_ms=start + HOUR_MS,
        )
        if decision.alarm:
            return True
    return False


def test_hours_have_bands_of_their_own(traffic: Traffic) -> None:
    past = hours(traffic, 0, 15 * 24)
    reference = build_rates_baseline(past).references["errors.rate"][traffic.version(1).key]
    assert reference.season == "hour-of-day"
    by_day, by_night = reference.slot_high[12][0], reference.slot_high[3][0]
    assert by_night < 0.08
    assert by_day > 0.1
    coming = hours(traffic, 15 * 24, 14 * 24)
    assert not alarms(reference, traffic, coming)
    assert alarms(reference, traffic, hours(traffic, 15 * 24, 48, worse=4.0))
    global_band = build(
        baseline="",
        segment=traffic.version(1),
        indicators=reference.indicators,
        hits=np.array([[sketch.hits[measures.ERROR]] for sketch in past]),
        trials=np.full((len(past), 1), 200),
    )
    assert alarms(global_band, traffic, coming), "one band for all hours must fail this"


def test_a_days_cycle_is_promised_from_three_days_on(traffic: Traffic) -> None:
    """A part of three days is fitted with the hours of the day, too, though it is shorter."""
    past = hours(traffic, 0, 3 * 24)
    reference = build_rates_baseline(past).references["errors.rate"][traffic.version(1).key]
    assert reference.season == "hour-of-day"
    assert not reference.refused
    assert reference.back_test is not None
    assert reference.back_test.alarms[0] <= 1
    assert reference.back_test.widening == 1.0


def test_latency_has_seasons_too(traffic: Traffic) -> None:
    reference = build_rates_baseline(hours(traffic, 0, 15 * 24)).references["latency.total"]
    assert reference[traffic.version(1).key].season == "hour-of-day"
    assert len(reference[traffic.version(1).key].slot_high) == 24
