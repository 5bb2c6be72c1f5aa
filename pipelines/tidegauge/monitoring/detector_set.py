"""All detectors of rates: which reference each is held to, its evidence, and its latch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, TypeAlias

import msgspec

from tidegauge.detection.detector import Decision, pack, unpack
from tidegauge.detection.indicators import Tail
from tidegauge.detection.reference import Reference, nearest
from tidegauge.monitoring.alert_store import AlertStore, Key
from tidegauge.monitoring.catalog import judge_name, judged_scores, kind_of, quality_monitor
from tidegauge.monitoring.detector import (
    ChangePointState,
    Detector,
    DetectorEvidence,
    IndicatorEffect,
    build_detector,
    count_window,
    effect_ratio,
    effects_of,
    pack_change_point,
    unpack_change_point,
    watch,
)
from tidegauge.monitoring.plan import MonitorPlan, log_threshold, monitor_shares
from tidegauge.monitoring.verdicts import VerdictContext, untested_verdict, verdict_of
from tidegauge.monitoring.windows import MergedWindow
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.findings import Alert, State, Verdict
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.sketches import Exemplar, Sampled, Sketch, SketchKind

__all__ = [
    "DetectorEvidenceState",
    "DetectorSet",
    "DetectorSetState",
    "WindowSource",
    "baseline_kind",
]

Scope: TypeAlias = Literal["drift", "rates"]


class DetectorEvidenceState(msgspec.Struct, frozen=True, kw_only=True):
    """One detector's state, as plain data."""

    monitor: str
    segment: str
    evidence: bytes
    onset: ChangePointState
    end_ms: int | None
    events: int
    remarks: tuple[str, ...]


class DetectorSetState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``DetectorSet`` remembers, as plain data."""

    tracks: tuple[DetectorEvidenceState, ...] = ()
    drift_ranks: dict[str, int] = {}
    rates_ranks: dict[str, int] = {}


class WindowSource(Protocol):
    """What a detector may ask about beyond its own counts."""

    def exemplars(self, detector: Detector, indicator: str) -> tuple[Exemplar, ...]:
        """Return requests of the display range that show an indicator."""

    def sample(self, detector: Detector, since: int) -> tuple[Sampled, ...]:
        """Return a sample of the display range's requests since a moment."""

    def coincidences(self, detector: Detector, since: int) -> tuple[str, ...]:
        """Return sentences on what else happened at that time."""


@dataclass(slots=True)
class _Held:
    track: DetectorEvidence | None = None
    remarks: tuple[str, ...] = ()
    not_finite: int = 0


class DetectorSet:
    """The detectors of all monitors and segments.

    Args:
        plan: The monitor's settings.
        state: Where to go on from.
    """

    def __init__(self, plan: MonitorPlan, state: DetectorSetState | None = None) -> None:
        kept = state or DetectorSetState()
        self._plan = plan
        self._references: dict[str, Mapping[str, Reference]] = {}
        self._shares: dict[str, float] = {}
        self._detectors: dict[Key, Detector] = {}
        self._held: dict[Key, _Held] = {(t.monitor, t.segment): _read(t) for t in kept.tracks}
        self._ranks: dict[Scope, dict[str, int]] = {
            "drift": dict(kept.drift_ranks),
            "rates": dict(kept.rates_ranks),
        }

    def use(self, kind: BaselineKind, references: Mapping[str, Mapping[str, Reference]]) -> None:
        """Hold the monitors of a kind of baseline to new references.

        Evidence that was gathered against other ones is dropped.
        """
        for monitor in [name for name in self._references if baseline_kind(name) == kind]:
            del self._references[monitor]
        self._references.update(references)
        self._shares = monitor_shares(self._references)
        self._detectors = {}
        known = {r.baseline for by_segment in references.values() for r in by_segment.values()}
        for key, held in list(self._held.items()):
            if baseline_kind(key[0]) != kind or held.track is None:
                continue
            if held.track.evidence.baseline not in known:
                del self._held[key]

    def holds(self, monitor: str) -> bool:
        """Whether a monitor has references to be held to."""
        return bool(self._references.get(monitor))

    def restart(self, key: Key) -> None:
        """Start a detector afresh: a person has acknowledged what it said."""
        self._held.pop(key, None)

    def test(
        self,
        monitor: str,
        sketch: Sketch,
        window: MergedWindow,
        board: AlertStore,
        around: WindowSource,
    ) -> Verdict | None:
        """Test one monitor on one segment's closed window.

        Args:
            monitor: Which monitor.
            sketch: The segment's sketch of the window.
            window: The window.
            board: What was said before.
            around: What else is known.

        Returns:
            The verdict; None where the window says nothing about it.
        """
        key = (monitor, sketch.segment.key)
        detector = self._detector(monitor, sketch.segment)
        obstacle = _obstacle(monitor, sketch, detector)
        if obstacle is not None:
            state, sentence = obstacle
            return untested_verdict(monitor, sketch.segment, state, sentence, window.end_ms)
        if detector is None:
            return None
        counted = count_window(detector, sketch)
        if not counted.events:
            return None
        held = self._held.setdefault(key, _Held())
        held.track, decision = watch(
            detector, held.track, counted, start_ms=window.start_ms, end_ms=window.end_ms
        )
        held.not_finite = decision.not_finite
        if decision.not_finite and not decision.alarm:
            said = (
                "Part of its statistic is not a finite number: nothing is said of this traffic. "
                "Build and activate a new baseline."
            )
            return untested_verdict(monitor, sketch.segment, State.NO_DATA, said, window.end_ms)
        effects = effects_of(detector, held.track, decision)
        state = self._state(detector, decision, effects, held.track.events, board.alarm(key))
        if state == State.WARN and board.alarm(key) is None and effects:
            held.remarks = around.coincidences(detector, effects[0].since_ms)
        context = VerdictContext(
            end_ms=window.end_ms,
            window_events=counted.events,
            events=held.track.events,
            needed=self._plan.low_data_events,
            exemplars=partial(around.exemplars, detector),
            sample=partial(around.sample, detector),
            remarks=held.remarks,
        )
        return verdict_of(detector, decision, effects, state, context)

    def not_finite(self, key: Key) -> int:
        """Return how many of a detector's statistics were no finite number at the last test."""
        held = self._held.get(key)
        return held.not_finite if held else 0

    def quiet(self, kind: SketchKind, reached_ms: int) -> list[Key]:
        """Return the detectors whose segments have had no events for long."""
        limit = reached_ms - self._plan.no_data_ms
        return [
            key
            for key, held in sorted(self._held.items())
            if kind_of(key[0]) == kind
            and held.track is not None
            and held.track.end_ms is not None
            and held.track.end_ms < limit
        ]

    def _state(
        self,
        detector: Detector,
        decision: Decision,
        effects: Sequence[IndicatorEffect],
        events: int,
        alarm: Alert | None,
    ) -> State:
        if alarm is not None:
            return State.PAGE if alarm.severity == "page" else State.WARN
        if decision.alarm:
            least = self._plan.minimum_effect.get(detector.signal, 1.0)
            # What is no number may hide a larger effect.
            large = decision.not_finite or effect_ratio(detector, effects) >= least
            return State.WARN if large else State.INFO
        enough = events >= self._plan.low_data_events
        return State.OK if enough else State.LOW_DATA

    def _detector(self, monitor: str, segment: Segment) -> Detector | None:
        key = (monitor, segment.key)
        if key not in self._detectors:
            found = nearest(self._references.get(monitor, {}), segment)
            if found is None:
                return None
            ranks = self._ranks["drift" if kind_of(monitor) == "drift" else "rates"]
            rank = ranks.setdefault(segment.key, len(ranks) + 1)
            threshold = log_threshold(self._plan, self._shares[monitor], rank)
            self._detectors[key] = build_detector(monitor, segment, *found, threshold)
        return self._detectors[key]

    def state(self) -> DetectorSetState:
        """Return everything that is remembered."""
        return DetectorSetState(
            tracks=tuple(
                _write(key, held.track, held.remarks)
                for key, held in sorted(self._held.items())
                if held.track is not None
            ),
            drift_ranks=dict(self._ranks["drift"]),
            rates_ranks=dict(self._ranks["rates"]),
        )


def baseline_kind(monitor: str) -> BaselineKind:
    """Return which kind of baseline a monitor is held to."""
    return "drift" if kind_of(monitor) == "drift" else "rates"


def _read(stored: DetectorEvidenceState) -> _Held:
    evidence, onset = unpack(stored.evidence), unpack_change_point(stored.onset)
    track = DetectorEvidence(evidence, onset, stored.end_ms, stored.events)
    return _Held(track, stored.remarks)


def _write(key: Key, track: DetectorEvidence, remarks: tuple[str, ...]) -> DetectorEvidenceState:
    return DetectorEvidenceState(
        monitor=key[0],
        segment=key[1],
        evidence=pack(track.evidence),
        onset=pack_change_point(track.onset),
        end_ms=track.end_ms,
        events=track.events,
        remarks=remarks,
    )


def _obstacle(monitor: str, sketch: Sketch, detector: Detector | None) -> tuple[State, str] | None:
    """Return why a window cannot be tested, or None."""
    labels = {label for label, _ in judged_scores(sketch)}
    mine = sorted(label for label in labels if quality_monitor(judge_name(label)) == monitor)
    if any(sketch.hits.get(measures.unqualified(label), 0) for label in mine):
        return State.UNQUALIFIED, (
            f"The judge {judge_name(mine[0])} does not pass its anchor set: its scores are "
            "shown and raise no alarm."
        )
    if detector is None:
        what = "drift" if baseline_kind(monitor) == "drift" else "rates"
        return State.NO_BASELINE, (
            f"There is no baseline of {what} for this: nothing is tested. "
            "Build one with `tidegauge baseline build`."
        )
    wanted = detector.reference.baseline
    if sketch.kind == "drift" and sketch.baseline != wanted:
        return State.NO_BASELINE, (
            f"The drift worker counts against baseline {sketch.baseline or 'none'}, active is "
            f"{wanted}: nothing is tested until it follows."
        )
    known = {
        indicator.counter.value
        for indicator in detector.reference.indicators
        if isinstance(indicator.counter, Tail)
    }
    if mine and not known & sketch.histograms.keys():
        return State.NO_BASELINE, (
            f"The judge is {mine[0]} now, and the baseline was scored by another epoch of it: "
            "build a new baseline."
        )
    return None
