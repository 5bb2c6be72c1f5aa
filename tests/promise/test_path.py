from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tidegauge.detection.reference import nearest
from tidegauge.monitoring.detector import build_detector, count_window
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.rerun import replay_sketches
from tidegauge.promise.drawn_conversations import (
    SEGMENT,
    DrawnRange,
    Sources,
    draw_pools,
    draw_requests,
)
from tidegauge.promise.path import (
    References,
    allowed_alarms,
    as_records,
    drift_baseline,
    drift_sketches,
    first_alarms,
    is_counted,
    rates_baseline,
    reports,
)
from tidegauge.promise.scenarios import CONVERSATION_TRAFFIC
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Alert, Monitor
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import REQUESTS, RESPONSES
from tidegauge.simulation.rhythm import Recorded, Rhythm
from tidegauge.simulation.service import SimulatedService, exchanges, response_events
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Output
from tidegauge.usecases.references import drift_references
from tidegauge.vitals.extractor import VitalsExtractor
from tidegauge.workers.drift.extractor import DriftExtractor

START_MS = 1_767_571_200_000
HOUR = 3_600.0
SERVICE = SimulatedService(rhythm=Rhythm(per_day=20_000))
SETTINGS = SketchSettings()


def published(
    service: SimulatedService, start_ms: int, hours: float, recorded: Recorded
) -> list[Sketch | Progress]:
    found = exchanges(service, start_ms, hours * HOUR, recorded, np.random.default_rng(start_ms))
    events = response_events(
        found, start_ms=start_ms, segment=Segment(model="m"), producer_id=str(start_ms)
    )
    return [*reports(VitalsExtractor(), events, SETTINGS)]


def sketches(coming: list[Sketch | Progress]) -> list[Sketch]:
    return [one for one in coming if isinstance(one, Sketch)]


def as_monitored(
    references: References, coming: list[Sketch | Progress], start_ms: int
) -> dict[str, float]:
    """Return when the monitor itself raises its first alerts, in days."""
    starts: dict[str, float] = {}

    def publish(output: Output) -> None:
        event = output.event
        if isinstance(event, Alert) and event.status == "firing":
            starts.setdefault(event.monitor, (event.starts_ms - start_ms) / 86_400_000)

    plan = MonitorPlan(partitions={RESPONSES.name: 1, REQUESTS.name: 1})
    replay_sketches(plan, {"rates": ("measured", references)}, as_records(coming), publish)
    return starts


def test_alarms_are_those_of_the_monitor(recorded: Recorded) -> None:
    baseline = rates_baseline(sketches(published(SERVICE, START_MS, 1, recorded)))
    start_ms = START_MS + int(HOUR * 1000)
    worse = replace(SERVICE, changed_from=300.0, slower=2.0, errors_after=0.15)
    coming = published(worse, start_ms, 0.5, recorded)
    found = first_alarms(baseline.references, sketches(coming), start_ms=start_ms)
    promised = allowed_alarms(baseline.references, 1.0)
    monitored = as_monitored(baseline.references, coming, start_ms)
    assert "errors.rate" in {one.monitor for one in found}
    assert {one.monitor: one.days for one in found} == {
        name: days for name, days in monitored.items() if name in promised
    }
    alone = first_alarms(baseline.references, sketches(coming), start_ms=start_ms, signal="errors")
    assert alone == [one for one in found if one.monitor == "errors.rate"]
    one_by_one = first_alarms(baseline.references, iter(sketches(coming)), start_ms=start_ms)
    assert one_by_one == found


def test_the_first_segment_has_half_of_each_signals_share(recorded: Recorded) -> None:
    baseline = rates_baseline(sketches(published(SERVICE, START_MS, 1, recorded)))
    allowed = allowed_alarms(baseline.references, 30.0)
    assert allowed["errors.rate"] == pytest.approx(0.15 / 2)


def test_requests_that_are_no_units_change_no_count(sources: Sources) -> None:
    rhythm = Rhythm(per_day=2_400)
    traffic = replace(CONVERSATION_TRAFFIC["conversations on one topic"], rhythm=rhythm)
    rng = np.random.default_rng(8)
    pools = draw_pools(traffic, sources, rng)
    past = DrawnRange(START_MS, 6 * HOUR, 2_400)
    known = draw_requests(traffic, (pools.past, [], 0.0), past, sources.recorded, rng)
    baseline = drift_baseline(known.events, sources.vectors, [1])
    today = DrawnRange(START_MS + 86_400_000, HOUR, 2_400)
    coming = draw_requests(traffic, (pools.coming, [], 0.0), today, sources.recorded, rng)
    assert not all(is_counted(event) for event in coming.events)
    extractor = DriftExtractor(
        sources.vectors, baseline.preparation, window_ms=SETTINGS.window_ms, publish_vectors=False
    )
    extractor.use(baseline)
    every = [one for one in reports(extractor, coming.events, SETTINGS) if isinstance(one, Sketch)]
    units = [*drift_sketches(coming.events, baseline, sources.vectors, SETTINGS)]
    assert len(units) < len(every)
    references = drift_references(baseline)
    for name, by_segment in references.items():
        found = nearest(by_segment, SEGMENT)
        assert found is not None
        detector = build_detector(Monitor.parse(name), SEGMENT, *found, 10.0)
        counted = [
            {
                one.window_start_ms: [
                    column.tolist() for column in (table.hits, table.trials, *table.cells)
                ]
                for one in sketches
                if (table := count_window(detector, one)).events
            }
            for sketches in (every, units)
        ]
        assert counted[0] == counted[1] != {}
