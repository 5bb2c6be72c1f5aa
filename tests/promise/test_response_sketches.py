from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from tidegauge.promise.path import first_alarms, rates_baseline, reports
from tidegauge.promise.response_sketches import response_sketches
from tidegauge.schemas import Segment
from tidegauge.schemas.sketches import Sketch
from tidegauge.simulation.rhythm import Recorded, Rhythm, Wave
from tidegauge.simulation.service import (
    Exchanges,
    SimulatedService,
    exchanges,
    response_events,
)
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.vitals.extractor import VitalsExtractor

START_MS = 1_767_571_200_000
HOUR = 3_600.0
SETTINGS = SketchSettings(window_ms=30_000)
SEGMENT = Segment(model="m")
SERVICE = SimulatedService(
    rhythm=Rhythm(per_day=6_000, wave=Wave(0.5, 600.0)), speed_wave=Wave(0.15, 600.0), errors=0.2
)

STEADY = SimulatedService(rhythm=Rhythm(per_day=20_000), errors=0.05)


def drawn(service: SimulatedService, hours: float, recorded: Recorded) -> Exchanges:
    return exchanges(service, START_MS, hours * HOUR, recorded, np.random.default_rng(3))


def from_arrays(found: Exchanges) -> list[Sketch]:
    return response_sketches(
        found, start_ms=START_MS, segment=SEGMENT, window_ms=SETTINGS.window_ms
    )


def from_events(found: Exchanges) -> list[Sketch]:
    events = response_events(found, start_ms=START_MS, segment=SEGMENT, producer_id="g")
    made = reports(VitalsExtractor(), events, SETTINGS)
    return [one for one in made if isinstance(one, Sketch)]


def test_sketches_hold_what_the_vitals_worker_counts(recorded: Recorded) -> None:
    found = drawn(SERVICE, 2, recorded)
    made, counted = from_arrays(found), from_events(found)
    assert len(made) == len(counted) > 100
    assert any(not one.histograms for one in made), "a window with errors alone"
    for ours, theirs in zip(made, counted, strict=True):
        assert (ours.window_start_ms, ours.events) == (theirs.window_start_ms, theirs.events)
        assert (ours.hits, ours.trials) == (theirs.hits, theirs.trials)
        assert ours.strata == theirs.strata
        assert ours.histograms == {name: theirs.histograms[name] for name in ours.histograms}
        assert ours.moments == {name: theirs.moments[name] for name in ours.moments}


def test_they_lead_to_the_same_references_and_alarms(recorded: Recorded) -> None:
    past = drawn(STEADY, 3, recorded)
    baseline = rates_baseline(from_arrays(past))
    assert msgspec.json.encode(baseline) == msgspec.json.encode(rates_baseline(from_events(past)))
    worse = replace(STEADY, changed_from=0.0, slower=1.8, errors_after=0.4)
    coming = drawn(worse, 1, recorded)
    ours, theirs = (
        first_alarms(baseline.references, sketches, start_ms=START_MS)
        for sketches in (from_arrays(coming), from_events(coming))
    )
    assert ours == theirs
    assert {one.monitor for one in ours} >= {"errors.rate", "latency.total"}


@pytest.mark.parametrize("kept", [0, 1])
def test_there_may_be_no_request_and_no_answer(recorded: Recorded, kept: int) -> None:
    found = drawn(SERVICE, 0.2, recorded)
    few = Exchanges(
        **{name: getattr(found, name)[:kept] for name in Exchanges.__dataclass_fields__}
    )
    failed = replace(few, failed=np.ones(kept, np.bool_))
    assert [one.hits for one in from_arrays(failed)] == [{"error": 1}] * kept
