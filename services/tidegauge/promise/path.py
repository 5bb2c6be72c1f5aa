"""The product's own path: events to sketches, to baselines, to alarms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np

from tidegauge.detection.reference import Reference, nearest
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.fitting import fit
from tidegauge.drift.preparation import Preparation, prepare
from tidegauge.monitoring.catalog import DRIFT_TOPICS, monitored_segment, monitors_in
from tidegauge.monitoring.detector import (
    Detector,
    DetectorEvidence,
    build_detector,
    count_window,
    effect_ratio,
    effects_of,
    observe_window,
)
from tidegauge.monitoring.plan import MonitorPlan, log_threshold, monitor_shares
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.promise.stored_vectors import StoredVectors
from tidegauge.schemas import encode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.findings import Monitor
from tidegauge.schemas.sketches import Sketch
from tidegauge.schemas.topics import REQUESTS
from tidegauge.streaming.extractor import Extractor
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition, Record
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.vitals.extractor import VitalsExtractor
from tidegauge.workers.drift.extractor import DriftExtractor

__all__ = [
    "Alarm",
    "drift_baseline",
    "drift_references",
    "drift_sketches",
    "first_alarms",
    "rates_baseline",
    "vitals_sketches",
]

E = TypeVar("E", RequestEvent, ResponseEvent)

SETTINGS = SketchSettings()
PLAN = MonitorPlan()
_AT_ONCE = 512
_BASELINE = "measured"
_MONITORS = ("drift.topics", "latency.total", "latency.first_token", "errors.rate", "cost.request")


@dataclass(frozen=True, slots=True)
class Alarm:
    """The first alarm of a monitor.

    Attributes:
        monitor: Its name.
        time_ms: End of the window that raised it.
        indicators: Names of the indicators that contributed most.
        events: Events counted until then.
    """

    monitor: str
    time_ms: int
    indicators: tuple[str, ...]
    events: int


def _sketches(extractor: Extractor[E], events: Iterable[E]) -> Iterator[Sketch]:
    processor: SketchingProcessor[E] = SketchingProcessor(extractor, "promise", SETTINGS)
    partition = Partition(REQUESTS.name, 0)
    processor.assign(partition, None)
    offset, now_ms, source = 0, 0, iter(events)
    while batch := list(islice(source, _AT_ONCE)):
        records = [
            Record(partition, offset + number, encode(event), timestamp_ms=event.time_ms)
            for number, event in enumerate(batch)
        ]
        offset += len(batch)
        now_ms = batch[-1].time_ms
        for output in processor.process(records, now_ms).outputs:
            if isinstance(output.event, Sketch):
                yield output.event
    later_ms = now_ms + SETTINGS.idle_ms + SETTINGS.lateness_ms + SETTINGS.window_ms
    for moment in (now_ms, later_ms):
        processor.caught_up(partition, moment)
    for output in processor.tick(later_ms).outputs:
        if isinstance(output.event, Sketch):
            yield output.event


def vitals_sketches(events: Iterable[ResponseEvent]) -> list[Sketch]:
    """Return the vitals worker's sketches of responses."""
    return list(_sketches(VitalsExtractor(), events))


def drift_sketches(
    events: Iterable[RequestEvent], baseline: DriftBaseline, vectors: StoredVectors
) -> Iterator[Sketch]:
    """Yield the drift worker's sketches of requests, counted with a baseline."""
    extractor = DriftExtractor(
        vectors, baseline.preparation, window_ms=SETTINGS.window_ms, publish_vectors=False
    )
    extractor.use(baseline)
    return _sketches(extractor, events)


def drift_baseline(
    events: Iterable[RequestEvent],
    vectors: StoredVectors,
    seed: Sequence[int],
    *,
    timed: bool = True,
) -> DriftBaseline:
    """Fit a drift baseline to past requests, as ``tidegauge baseline build --kind drift`` does.

    Raises:
        DriftError: The requests are too few.
    """
    preparation = Preparation()
    past = [
        HistoricalRequest(prepare(one.messages, preparation).text, one.segment, one.time_ms)
        if timed
        else HistoricalRequest(prepare(one.messages, preparation).text)
        for one in events
    ]
    past = [one for one in past if one.text]
    made = fit(
        past,
        vectors.embed([one.text for one in past]),
        embedder=vectors.fingerprint,
        preparation=preparation,
        rng=np.random.default_rng(seed),
        keep_exemplars=False,
    )
    return DriftBaseline.from_bytes(made.to_bytes(), _BASELINE)


def rates_baseline(sketches: Iterable[Sketch]) -> RatesBaseline:
    """Build a baseline of rates, as ``tidegauge baseline build --kind rates`` does.

    Raises:
        RatesBaselineError: There are no responses.
    """
    return RatesBaseline.from_bytes(build_rates_baseline(sketches).to_bytes(), _BASELINE)


def first_alarms(
    references: Mapping[str, Mapping[str, Reference]], sketches: Iterable[Sketch]
) -> list[Alarm]:
    """Test sketches at the default budget; return each monitor's first alarm above INFO.

    It ends when all monitors have alarmed.

    Args:
        references: Monitor's name -> segment key -> reference.
        sketches: Of one segment, in order of time.
    """
    shares = monitor_shares(Monitor.parse(name) for name in _MONITORS)
    detectors: dict[Monitor, Detector] = {}
    evidence: dict[Monitor, DetectorEvidence] = {}
    alarms: dict[Monitor, Alarm] = {}
    for sketch in sketches:
        for monitor in monitors_in(sketch):
            if monitor in alarms or monitor.name not in references:
                continue
            detector = detectors.get(monitor)
            if detector is None:
                segment = monitored_segment(sketch.kind, sketch.segment)
                found = nearest(references[monitor.name], segment)
                if found is None:
                    continue
                threshold = log_threshold(PLAN, shares[monitor], rank=1)
                detector = detectors[monitor] = build_detector(monitor, segment, *found, threshold)
            counted = count_window(detector, sketch)
            if not counted.events:
                continue
            start_ms, end_ms = sketch.window_start_ms, sketch.window_start_ms + sketch.window_ms
            evidence[monitor], decision = observe_window(
                detector, evidence.get(monitor), counted, start_ms=start_ms, end_ms=end_ms
            )
            if not decision.alarm:
                continue
            effects = effects_of(detector, evidence[monitor], decision)
            least = PLAN.minimum_effect.get(detector.signal, 1.0)
            if decision.not_finite or effect_ratio(detector, effects) >= least:
                names = [
                    detector.reference.indicators[one.contribution.indicator].name
                    for one in effects[:3]
                ]
                alarms[monitor] = Alarm(
                    monitor.name, end_ms, tuple(names), evidence[monitor].events
                )
        if len(alarms) == len(references):
            break
    return [alarms[monitor] for monitor in sorted(alarms)]


def drift_references(baseline: DriftBaseline) -> dict[str, Mapping[str, Reference]]:
    """Return a drift baseline's references by monitor."""
    return {DRIFT_TOPICS.name: baseline.references}
