"""The detectors of all monitors and segments: their references, evidence and verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from tidegauge.detection.e_detector import pack, unpack
from tidegauge.detection.indicators import Hits, Indicator
from tidegauge.detection.reference import Reference, nearest
from tidegauge.monitoring.catalog import (
    DRIFT_FOLLOWUPS,
    ERRORS_RATE,
    MonitorKey,
    baseline_kind,
    hallucination_labels,
    hallucination_monitor,
    judge_name,
    judged_scores,
    quality_monitor,
    worker_kind,
)
from tidegauge.monitoring.detector import (
    ChangePointState,
    Detector,
    DetectorEvidence,
    build_detector,
    count_window,
    effects_of,
    observe_window,
    pack_change_point,
    unpack_change_point,
)
from tidegauge.monitoring.display import Display
from tidegauge.monitoring.intake import MergedWindow
from tidegauge.monitoring.judged_answers import judged_answers
from tidegauge.monitoring.plan import MonitorPlan, log_threshold, monitor_shares
from tidegauge.monitoring.trends import RatePoint
from tidegauge.monitoring.verdict_details import (
    effect_size,
    load_findings,
    no_effect,
    size_sentence,
    unknown_checks,
    unseen_load,
)
from tidegauge.monitoring.verdicts import VerdictContext, untested_verdict, verdict_of
from tidegauge.reports.reference_text import refusal_sentence
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Alert, Monitor, State, Verdict
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.sketches import Sketch, SketchKind
from tidegauge.streaming.merging import merge_all

__all__ = [
    "DetectorEvidenceState",
    "DetectorSet",
    "DetectorSetState",
]


class DetectorEvidenceState(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence of one detector as plain data."""

    monitor: Monitor
    segment: Segment
    bets: bytes
    change_point: ChangePointState
    end_ms: int | None
    events: int
    coincidences: tuple[str, ...]


class DetectorSetState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a ``DetectorSet`` as plain data."""

    evidence: tuple[DetectorEvidenceState, ...] = ()
    drift_ranks: dict[str, int] = {}
    rates_ranks: dict[str, int] = {}


@dataclass(slots=True)
class _Record:
    evidence: DetectorEvidence | None = None
    coincidences: tuple[str, ...] = ()
    not_finite: int = 0


class DetectorSet:
    """The detectors of all monitors and segments.

    Args:
        plan: The monitor's settings.
        display: Sums of the sketches, with the requests that a verdict shows.
        coincidences: Returns sentences on what else happened around a moment.
        state: The state to resume from.
    """

    def __init__(
        self,
        plan: MonitorPlan,
        display: Display,
        coincidences: Callable[[MonitorKey, int], tuple[str, ...]],
        state: DetectorSetState | None = None,
    ) -> None:
        kept = state or DetectorSetState()
        self._plan = plan
        self._display = display
        self._coincidences = coincidences
        self._references: dict[Monitor, Mapping[str, Reference]] = {}
        self._shares: dict[Monitor, float] = {}
        self._detectors: dict[MonitorKey, Detector] = {}
        self._records: dict[MonitorKey, _Record] = {
            MonitorKey(stored.monitor, stored.segment): _read(stored) for stored in kept.evidence
        }
        self._ranks: dict[BaselineKind, dict[str, int]] = {
            "drift": dict(kept.drift_ranks),
            "rates": dict(kept.rates_ranks),
        }

    def use(
        self, kind: BaselineKind, references: Mapping[Monitor, Mapping[str, Reference]]
    ) -> None:
        """Test the monitors of a kind of baseline against new references.

        Evidence that was gathered against other references is dropped; what a reference that
        the baseline has taken over from an earlier one gathered stays.
        """
        for monitor in [one for one in self._references if baseline_kind(one) == kind]:
            del self._references[monitor]
        self._references.update(references)
        self._shares = monitor_shares(self._references)
        self._detectors = {}
        for key, record in list(self._records.items()):
            if baseline_kind(key.monitor) != kind or record.evidence is None:
                continue
            found = nearest(references.get(key.monitor, {}), key.segment)
            if found is None or record.evidence.bets.baseline != found[1].baseline:
                del self._records[key]

    def has_references(self, monitor: Monitor) -> bool:
        """Return whether a monitor has references."""
        return bool(self._references.get(monitor))

    def restart(self, key: MonitorKey) -> None:
        """Drop a detector's evidence, so that it starts afresh."""
        self._records.pop(key, None)

    def test(
        self, key: MonitorKey, sketch: Sketch, window: MergedWindow, alarm: Alert | None
    ) -> Verdict | None:
        """Test one monitor on one segment's closed window.

        Args:
            key: The monitor and the segment.
            sketch: The segment's sketch of the window, which the display holds already.
            window: The window.
            alarm: The alarm that is latched, None without one.

        Returns:
            The verdict; None where the window has no events of the monitor.
        """
        detector = self._detector(key)
        obstacle = _obstacle(key.monitor, sketch, detector)
        if obstacle is not None:
            state, sentence = obstacle
            return untested_verdict(key, state, sentence, window.end_ms)
        if detector is None:
            return None
        counted = count_window(detector, sketch)
        unseen = unseen_load(detector.reference, sketch)
        events = counted.events
        if not events:
            said = " ".join(unseen)
            return untested_verdict(key, State.NO_DATA, said, window.end_ms) if said else None
        record = self._records.setdefault(key, _Record())
        record.evidence, decision = observe_window(
            detector, record.evidence, counted, start_ms=window.start_ms, end_ms=window.end_ms
        )
        record.not_finite = decision.not_finite
        alarms = decision.alarm
        if decision.not_finite and not alarms:
            sentence = (
                "Part of the statistic is not a finite number: this traffic is not tested. "
                "Build and activate a new baseline."
            )
            return untested_verdict(key, State.NO_DATA, sentence, window.end_ms)
        effects = effects_of(detector, record.evidence, decision)
        size = no_effect(detector) if alarms else None
        if alarms and effects:
            recent = partial(self._since, sketch, effects[0].since_ms)
            size = effect_size(detector, effects, recent)
        state = self._state(detector, size, decision.not_finite, record.evidence.events, alarm)
        if state == State.WARN and alarm is None and effects:
            record.coincidences = self._coincidences(key, effects[0].since_ms)
        watched = (sketch.kind, sketch.segment)
        context = VerdictContext(
            end_ms=window.end_ms,
            window_events=events,
            events=record.evidence.events,
            needed=self._plan.low_data_events,
            exemplars=partial(self._display.exemplars, *watched),
            sample=partial(self._display.sample, *watched),
            evidence=partial(judged_answers, self._display, sketch.segment),
            size=() if size is None else size_sentence(detector, size),
            coincidences=record.coincidences,
            findings=(*unseen, *self._findings(detector)),
        )
        return verdict_of(detector, decision, effects, state, context)

    def _since(self, sketch: Sketch, since_ms: int) -> Sketch:
        """Return the sum of the display range since a moment; the window's sketch without any."""
        slots = self._display.watched(sketch.kind, sketch.segment)
        return merge_all(slot for slot in slots if slot.window_start_ms >= since_ms) or sketch

    def _findings(self, detector: Detector) -> tuple[str, ...]:
        """Return sentences on what else is unusual now, and on what is not tested."""
        reference, of_errors = detector.reference, detector.monitor == ERRORS_RATE
        if not of_errors and not reference.load:
            return ()
        recent = self._display.watched("vitals", detector.segment)
        if of_errors:
            return unknown_checks(reference, recent)
        return load_findings(reference, recent, borrowed=detector.borrowed)

    def look_again(self, key: MonitorKey, since_ms: int) -> tuple[str, ...] | None:
        """Return what coincides with a change by now; None where no baseline is used.

        Args:
            key: The monitor that alarms, and its segment.
            since_ms: Start of the change, Unix milliseconds.
        """
        record = self._records.get(key)
        if record is None or self._detector(key) is None:
            return None
        record.coincidences = self._coincidences(key, since_ms)
        return record.coincidences

    def rate_points(
        self, key: MonitorKey, indicator: str, sketches: Sequence[Sketch]
    ) -> tuple[RatePoint, ...] | None:
        """Return an indicator's counts in each sketch; None where the reference lacks it."""
        detector = self._detector(key)
        if detector is None:
            return None
        names = [known.name for known in detector.reference.indicators]
        if indicator not in names:
            return None
        place, points = names.index(indicator), []
        for sketch in sketches:
            counted = count_window(detector, sketch)
            hits, trials = int(counted.hits[place]), int(counted.trials[place])
            if trials:
                points.append(RatePoint(sketch.window_start_ms, hits, trials))
        return tuple(points)

    def indicators(self, key: MonitorKey) -> tuple[Indicator, ...]:
        """Return the indicators that a monitor counts on a segment; none without a reference."""
        detector = self._detector(key)
        return tuple(detector.reference.indicators) if detector else ()

    def not_finite(self, key: MonitorKey) -> int:
        """Return how many of a detector's statistics were not finite at the last test."""
        record = self._records.get(key)
        return record.not_finite if record else 0

    def idle(self, kind: SketchKind, reached_ms: int) -> list[MonitorKey]:
        """Return the detectors whose segments have had no events for ``no_data_ms``."""
        limit = reached_ms - self._plan.no_data_ms
        return [
            key
            for key, record in sorted(self._records.items())
            if worker_kind(key.monitor) == kind
            and record.evidence is not None
            and record.evidence.end_ms is not None
            and record.evidence.end_ms < limit
        ]

    def _state(
        self,
        detector: Detector,
        size: float | None,
        not_finite: int,
        events: int,
        alarm: Alert | None,
    ) -> State:
        if alarm is not None:
            return State.CRITICAL if alarm.severity == "critical" else State.WARN
        if size is not None:
            least = self._plan.minimum_effect.get(detector.monitor.signal, no_effect(detector))
            # A statistic that is not finite may hide a larger effect.
            large = not_finite or size >= least
            return State.WARN if large else State.INFO
        enough = events >= self._plan.low_data_events
        return State.OK if enough else State.LOW_DATA

    def _detector(self, key: MonitorKey) -> Detector | None:
        if key not in self._detectors:
            monitor, segment = key
            found = nearest(self._references.get(monitor, {}), segment)
            if found is None:
                return None
            ranks = self._ranks[baseline_kind(monitor)]
            rank = ranks.setdefault(segment.key, len(ranks) + 1)
            threshold = log_threshold(self._plan, self._shares[monitor], rank)
            self._detectors[key] = build_detector(monitor, segment, *found, threshold)
        return self._detectors[key]

    def state(self) -> DetectorSetState:
        """Return the state as plain data."""
        return DetectorSetState(
            evidence=tuple(
                _write(key, record.evidence, record.coincidences)
                for key, record in sorted(self._records.items())
                if record.evidence is not None
            ),
            drift_ranks=dict(self._ranks["drift"]),
            rates_ranks=dict(self._ranks["rates"]),
        )


def _read(stored: DetectorEvidenceState) -> _Record:
    bets, change_point = unpack(stored.bets), unpack_change_point(stored.change_point)
    evidence = DetectorEvidence(bets, change_point, stored.end_ms, stored.events)
    return _Record(evidence, stored.coincidences)


def _write(
    key: MonitorKey, evidence: DetectorEvidence, coincidences: tuple[str, ...]
) -> DetectorEvidenceState:
    return DetectorEvidenceState(
        monitor=key.monitor,
        segment=key.segment,
        bets=pack(evidence.bets),
        change_point=pack_change_point(evidence.change_point),
        end_ms=evidence.end_ms,
        events=evidence.events,
        coincidences=coincidences,
    )


def _obstacle(
    monitor: Monitor, sketch: Sketch, detector: Detector | None
) -> tuple[State, str] | None:
    """Return why a window cannot be tested, as a state and a sentence; None where it can."""
    labels = _labels(monitor, sketch) if monitor.signal == "quality" else []
    if any(sketch.hits.get(measures.unqualified(label), 0) for label in labels):
        return State.UNQUALIFIED, _unqualified(monitor, judge_name(labels[0]))
    if detector is None:
        return State.NO_BASELINE, _without_baseline(monitor)
    if detector.reference.refused:
        return State.REFUSED, refusal_sentence(detector.reference)
    wanted = detector.reference.baseline
    if sketch.kind == "drift" and sketch.baseline != wanted:
        return State.NO_BASELINE, (
            f"The drift worker counts against baseline {sketch.baseline or 'none'} while {wanted} "
            "is active: nothing is tested until the worker uses it."
        )
    if labels and not any(map(partial(_counts, sketch), detector.reference.indicators)):
        return State.NO_BASELINE, (
            f"The judge is {labels[0]} now, and the baseline was scored by another "
            "specification of it: build a new baseline."
        )
    return None


def _labels(monitor: Monitor, sketch: Sketch) -> list[str]:
    """Return the labels under which a sketch has the numbers of a monitor of quality."""
    scored = {label for label, _ in judged_scores(sketch)}
    return sorted(
        {label for label in scored if quality_monitor(judge_name(label)) == monitor}
        | {
            label
            for label in hallucination_labels(sketch)
            if hallucination_monitor(judge_name(label)) == monitor
        }
    )


def _unqualified(monitor: Monitor, judge: str) -> str:
    if monitor == hallucination_monitor(judge):
        return (
            f"What holds answers against their context, {judge}, does not pass its golden set: "
            "its rate is shown and raises no alarm."
        )
    return (
        f"The judge {judge} does not pass its golden set: its scores are shown and raise no alarm."
    )


def _counts(sketch: Sketch, indicator: Indicator) -> bool:
    """Whether a sketch has the numbers that an indicator counts."""
    counter = indicator.counter
    if isinstance(counter, Hits):
        return counter.of in sketch.hits
    return counter.value in sketch.histograms


def _without_baseline(monitor: Monitor) -> str:
    if monitor == DRIFT_FOLLOWUPS:
        return (
            "The drift baseline does not know the follow-ups of conversations: they are not "
            "tested. `tidegauge baseline show drift` says why."
        )
    return (
        f"There is no baseline of {baseline_kind(monitor)} for this: nothing is tested. "
        "Build one with `tidegauge baseline build`."
    )
