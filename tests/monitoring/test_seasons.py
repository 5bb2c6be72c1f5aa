"""Two weeks of a service whose nights differ from its days."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from tidegauge.detection.reference import Reference, build
from tidegauge.monitoring.detector import build_detector, count_window, watch
from tidegauge.monitoring.rates import build_rates_baseline
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Sketch

if TYPE_CHECKING:
    from tests.monitoring.conftest import Kit

HOUR_MS = 3_600_000
MONDAY_MS = 1_700_438_400_000
LOG_THRESHOLD = np.log(30 * 86_400 / 0.15)


def hours(kit: Kit, first: int, count: int, worse: float = 1.0) -> list[Sketch]:
    """Draw hours of traffic: 1% of errors at night, 10% by day; scores lower by day."""
    found = []
    for hour in range(first, first + count):
        day = 8 <= hour % 24 < 20
        errors = int(kit.rng.binomial(200, worse * (0.1 if day else 0.01)))
        sketch = kit.vitals(0, 200)
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


def alarms(reference: Reference, kit: Kit, stream: list[Sketch]) -> bool:
    detector = build_detector(
        "errors.rate", kit.version(1), kit.version(1).key, reference, LOG_THRESHOLD
    )
    track = None
    for sketch in stream:
        start = sketch.window_start_ms
        track, decision = watch(
            detector,
            track,
            count_window(detector, sketch),
            start_ms=start,
            end_ms=start + HOUR_MS,
        )
        if decision.alarm:
            return True
    return False


def test_hours_have_bands_of_their_own(kit: Kit) -> None:
    past = hours(kit, 0, 15 * 24)
    reference = build_rates_baseline(past).references["errors.rate"][kit.version(1).key]
    assert reference.season == "hour-of-week"
    by_day, by_night = reference.slot_high[12][0], reference.slot_high[3][0]
    assert by_night < 0.08
    assert by_day > 0.1
    coming = hours(kit, 15 * 24, 14 * 24)
    assert not alarms(reference, kit, coming)
    assert alarms(reference, kit, hours(kit, 15 * 24, 48, worse=4.0))
    global_band = build(
        baseline="",
        segment=kit.version(1),
        indicators=reference.indicators,
        hits=np.array([[sketch.hits[measures.ERROR]] for sketch in past]),
        trials=np.full((len(past), 1), 200),
    )
    assert alarms(global_band, kit, coming), "one band for all hours must fail this"


def test_latency_has_seasons_too(kit: Kit) -> None:
    reference = build_rates_baseline(hours(kit, 0, 15 * 24)).references["latency.total"]
    assert reference[kit.version(1).key].season == "hour-of-week"
    assert len(reference[kit.version(1).key].slot_high) == 168
