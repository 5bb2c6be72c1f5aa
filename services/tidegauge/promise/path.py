"""The product's own path: events to sketches, to baselines, to alarms."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec
import numpy as np

from tidegauge.detection.e_detector import Decision, judge, no_evidence
from tidegauge.detection.indicators import count_windows
from tidegauge.detection.reference import Reference, nearest
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.counting import HistoricalRequest
from tidegauge.drift.fitting import fit
from tidegauge.drift.preparation import Preparation, prepare
from tidegauge.drift.units import Unit, conversation_of, unit_of
from tidegauge.monitoring.catalog import monitored_segment, monitors_in
from tidegauge.monitoring.detector import (
    Detector,
    DetectorEvidence,
    IndicatorCounts,
    IndicatorEffect,
    build_detector,
    count_window,
    effects_of,
    observe_counts,
    observe_window,
)
from tidegauge.monitoring.plan import MonitorPlan, log_threshold, monitor_shares
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.monitoring.verdict_details import effect_size, no_effect
from tidegauge.promise.stored_vectors import StoredVectors
from tidegauge.schemas import encode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.findings import Monitor, Signal
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import REQUESTS, RESPONSES, SKETCHES
from tidegauge.streaming.extractor import Extractor
from tidegauge.streaming.merging import merge_sketches
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition, ProcessingResult, Record
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.usecases.build_baseline import FitChoices
from tidegauge.workers.drift.extractor import DriftExtractor

__all__ = [
    "Alarm",
    "References",
    "allowed_alarms",
    "as_records",
    "drift_baseline",
    "drift_sketches",
    "first_alarms",
    "plugged_in",
    "rates_baseline",
    "refusals",
    "reports",
]

E = TypeVar("E", RequestEvent, ResponseEvent)
References: TypeAlias = Mapping[str, Mapping[str, Reference]]
"""Monitor's name -> segment key -> reference, as in a baseline's document."""

PLAN = MonitorPlan()
_AT_ONCE = 512
_BASELINE = "measured"
_DAY_SECONDS = 86_400.0
_LEAST = 1e-3


@dataclass(frozen=True, slots=True)
class Alarm:
    """The first alarm of a monitor.

    Attributes:
        monitor: Its name.
        days: Time from the start of the stream to the end of the window that raised it.
        indicators: Names of the indicators that contributed most.
        events: Events counted until then.
    """

    monitor: str
    days: float
    indicators: tuple[str, ...]
    events: int


def reports(
    extractor: Extractor[E], events: Iterable[E], settings: SketchSettings
) -> Iterator[Sketch | Progress]:
    """Yield what a worker publishes on events: sketches of closed windows, and its progress."""
    processor: SketchingProcessor[E] = SketchingProcessor(extractor, "promise", settings)
    topic = REQUESTS if extractor.reads is RequestEvent else RESPONSES
    partition = Partition(topic.name, 0)
    processor.assign(partition, None)
    offset, now_ms, source = 0, 0, iter(events)
    while batch := list(islice(source, _AT_ONCE)):
        records = [
            Record(partition, offset + number, encode(event), timestamp_ms=event.time_ms)
            for number, event in enumerate(batch)
        ]
        offset += len(batch)
        now_ms = batch[-1].time_ms
        yield from _published(processor.process(records, now_ms))
    later_ms = now_ms + settings.idle_ms + settings.lateness_ms + settings.window_ms
    for moment in (now_ms, later_ms):
        processor.caught_up(partition, moment)
    yield from _published(processor.tick(later_ms))


def _published(result: ProcessingResult) -> Iterator[Sketch | Progress]:
    for output in result.outputs:
        if isinstance(output.event, Sketch | Progress):
            yield output.event


def as_records(published: Iterable[Sketch | Progress]) -> Iterator[Record]:
    """Yield the records of ``sketches.v1`` for what a worker publishes."""
    partition, now_ms = Partition(SKETCHES.name, 0), 0
    for offset, one in enumerate(published):
        said_ms = one.time_ms if isinstance(one, Progress) else one.window_start_ms + one.window_ms
        now_ms = max(now_ms, said_ms)
        yield Record(partition, offset, encode(one), timestamp_ms=now_ms)


def drift_sketches(
    events: Iterable[RequestEvent],
    baseline: DriftBaseline,
    vectors: StoredVectors,
    settings: SketchSettings,
) -> Iterator[Sketch]:
    """Yield the drift worker's sketches of the requests that are units, counted with a baseline."""
    extractor = DriftExtractor(
        vectors, baseline.preparation, window_ms=settings.window_ms, publish_vectors=False
    )
    extractor.use(baseline)
    units = (event for event in events if is_counted(event))
    return (one for one in reports(extractor, units, settings) if isinstance(one, Sketch))


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
    past = [_historical(one, preparation, timed=timed) for one in events if is_counted(one)]
    past = [one for one in past if one.text]
    made = fit(
        past,
        vectors.embed([one.text for one in past]),
        embedder=vectors.fingerprint,
        preparation=preparation,
        rng=np.random.default_rng(seed),
        keep_exemplars=False,
        power=False,
        caller_cap=FitChoices().caller_cap,
    )
    return DriftBaseline.from_bytes(made.to_bytes(), _BASELINE)


def is_counted(event: RequestEvent) -> bool:
    """Return whether a request is a unit of evidence."""
    return isinstance(unit_of(event), Unit)


def _historical(event: RequestEvent, preparation: Preparation, *, timed: bool) -> HistoricalRequest:
    return HistoricalRequest(
        prepare(event.messages, preparation).text,
        event.segment if timed else None,
        event.time_ms if timed else None,
        conversation_of(event),
        event.turn or 1,
    )


def rates_baseline(sketches: Iterable[Sketch]) -> RatesBaseline:
    """Build a baseline of rates, as ``tidegauge baseline build --kind rates`` does.

    Raises:
        RatesBaselineError: There are no responses.
    """
    return RatesBaseline.from_bytes(build_rates_baseline(sketches).to_bytes(), _BASELINE)


def allowed_alarms(references: References, days: float) -> dict[str, float]:
    """Return how many false alarms each monitor that promises something may raise in some days."""
    thresholds = _thresholds(references)
    return {
        name: days * _DAY_SECONDS * math.exp(-threshold) for name, threshold in thresholds.items()
    }


def _thresholds(references: References) -> dict[str, float]:
    shares = monitor_shares(Monitor.parse(name) for name in references)
    refused = refusals(references)
    return {
        monitor.name: log_threshold(PLAN, share, rank=1)
        for monitor, share in shares.items()
        if monitor.name not in refused
    }


def refusals(references: References) -> dict[str, str]:
    """Return why each monitor that promises nothing does not, and from when it may."""
    return {
        name: min(_refusal(reference) for reference in by_segment.values())
        for name, by_segment in references.items()
        if all(reference.refused for reference in by_segment.values())
    }


def _refusal(reference: Reference) -> str:
    """Return why a reference promises nothing, and from which length of a baseline it may."""
    days = reference.wanted_ms / 1000 / _DAY_SECONDS
    return f"{reference.refused} (from {days:.2g} days on)" if days else reference.refused


def plugged_in(references: References) -> References:
    """Take the estimated rates for the truth, as is usual."""
    return {
        name: {key: _estimate(reference) for key, reference in by_segment.items()}
        for name, by_segment in references.items()
    }


def _estimate(reference: Reference) -> Reference:
    edges = tuple(min(max(rate, _LEAST), 1 - _LEAST) for rate in reference.rate)
    return msgspec.structs.replace(
        reference,
        season="none",
        low=edges,
        high=edges,
        dispersion=(0.0,) * len(edges),
        slot_low=(),
        slot_high=(),
        refused="",
        polya_urns=tuple(
            msgspec.structs.replace(urn, tolerance=0.0) for urn in reference.polya_urns
        ),
    )


def first_alarms(
    references: References,
    sketches: Iterable[Sketch],
    *,
    start_ms: int,
    signal: Signal | None = None,
) -> list[Alarm]:
    """Test sketches at the default budget; return each monitor's first alarm above INFO.

    Monitors that promise nothing are left out. It ends when all others have alarmed.

    Args:
        references: Monitor's name -> segment key -> reference.
        sketches: Of one segment, in order of time; those of responses are counted at once if
            they are a sequence.
        start_ms: Start of the stream, Unix milliseconds.
        signal: Only the monitors of this signal, until the first of them alarms; None for all.
    """
    tests: dict[Monitor, _Test] = {}
    thresholds = _thresholds(references)
    alarms: dict[Monitor, Alarm] = {}
    most = 1 if signal else len(thresholds)
    known = sketches if isinstance(sketches, Sequence) else ()
    for sketch in sketches:
        for monitor in monitors_in(sketch):
            if monitor in alarms or monitor.name not in thresholds:
                continue
            if signal and monitor.signal != signal:
                continue
            test = tests.get(monitor)
            if test is None:
                segment = monitored_segment(sketch.kind, sketch.segment)
                found = nearest(references[monitor.name], segment)
                if found is None:
                    continue
                threshold = thresholds[monitor.name]
                detector = build_detector(monitor, segment, *found, threshold)
                test = tests[monitor] = _Test(detector, known)
            indicators = test.observe(sketch)
            if indicators:
                days = (sketch.window_start_ms + sketch.window_ms - start_ms) / 1000 / _DAY_SECONDS
                alarms[monitor] = Alarm(monitor.name, days, indicators, test.events)
        if len(alarms) >= most:
            break
    return [alarms[monitor] for monitor in sorted(alarms)]


class _ClosedWindow(NamedTuple):
    """A window's counts, and when it began and ended."""

    counted: IndicatorCounts
    start_ms: int
    end_ms: int


class _Test:
    """A detector and its evidence.

    Until the evidence first reaches the threshold nothing asks when a change began, nor what
    contributes. Then all windows are observed again with their change points.

    Args:
        detector: The detector.
        known: Sketches of responses that will be observed, if they are known; one for each window.
    """

    def __init__(self, detector: Detector, known: Sequence[Sketch]) -> None:
        self._detector = detector
        hits, trials = count_windows(detector.reference.indicators, known)
        starts = (one.window_start_ms for one in known)
        self._counted = dict(zip(starts, zip(hits, trials, strict=True), strict=True))
        self._bets = no_evidence(detector.bets)
        self._quiet: list[_ClosedWindow] = []
        self._evidence: DetectorEvidence | None = None
        self._displayed: deque[Sketch] = deque()

    @property
    def events(self) -> int:
        """Events counted until the alarm."""
        return self._evidence.events if self._evidence else 0

    def observe(self, sketch: Sketch) -> tuple[str, ...]:
        """Add a window; return the indicators that raise an alarm above INFO, or nothing."""
        detector = self._detector
        known = self._counted.get(sketch.window_start_ms)
        counted = IndicatorCounts(*known) if known else count_window(detector, sketch)
        if not counted.events:
            return ()
        start_ms = sketch.window_start_ms
        window = _ClosedWindow(counted, start_ms, start_ms + sketch.window_ms)
        self._displayed.append(sketch)
        while self._displayed[0].window_start_ms <= start_ms - PLAN.display_range_ms:
            self._displayed.popleft()
        if self._evidence is None and self._is_quiet(window):
            return ()
        for earlier in self._quiet:
            self._observe(earlier)
        self._quiet.clear()
        decision = self._observe(window)
        if not decision.alarm or self._evidence is None:
            return ()
        effects = effects_of(detector, self._evidence, decision)
        least = PLAN.minimum_effect.get(detector.monitor.signal, no_effect(detector))
        if not decision.not_finite and self._size(effects) < least:
            return ()
        named = detector.reference.indicators
        return tuple(named[one.contribution.indicator].name for one in effects[:3])

    def _is_quiet(self, window: _ClosedWindow) -> bool:
        """Add a window to the evidence of the bets; return whether it is below the threshold."""
        detector = self._detector
        quiet_ms = max(0, window.start_ms - self._quiet[-1].end_ms) if self._quiet else 0
        _, self._bets = observe_counts(
            detector,
            self._bets,
            window.counted,
            quiet_ms=quiet_ms,
            start_ms=window.start_ms,
            end_ms=window.end_ms,
        )
        found = judge(detector.bets, self._bets, log_threshold=detector.log_threshold, most=0)
        if found.alarm or found.not_finite:
            return False
        self._quiet.append(window)
        return True

    def _observe(self, window: _ClosedWindow) -> Decision:
        self._evidence, decision = observe_window(
            self._detector,
            self._evidence,
            window.counted,
            start_ms=window.start_ms,
            end_ms=window.end_ms,
        )
        return decision

    def _size(self, effects: Sequence[IndicatorEffect]) -> float:
        since_ms = effects[0].since_ms
        kept = [one for one in self._displayed if one.window_start_ms >= since_ms]
        recent = reduce(merge_sketches, kept or [self._displayed[-1]])
        return effect_size(self._detector, effects, lambda: recent)
