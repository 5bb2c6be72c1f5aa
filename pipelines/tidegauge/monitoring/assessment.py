"""Closed windows to verdicts: what is added up, compared, tested, latched and escalated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import msgspec

from tidegauge.detection.reference import Reference
from tidegauge.monitoring import health
from tidegauge.monitoring.alert_store import AlertStore, AlertStoreState, Key
from tidegauge.monitoring.attribution import HARMS, AttributionContext, coincidences, load_ratio
from tidegauge.monitoring.catalog import kind_of, monitors_in, scope
from tidegauge.monitoring.detector import Detector
from tidegauge.monitoring.detector_set import DetectorSet, DetectorSetState, baseline_kind
from tidegauge.monitoring.display import Display, DisplayState
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.verdicts import untested_verdict
from tidegauge.monitoring.version_comparison import VersionComparisons, VersionComparisonsState
from tidegauge.monitoring.view import BaselineInUse
from tidegauge.monitoring.windows import MergedWindow
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Signal, State, Verdict
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.sketches import Exemplar, Sampled, Sketch, SketchKind
from tidegauge.streaming.merging import merge_sketches
from tidegauge.streaming.processor import Output

__all__ = ["Assessment", "AssessmentState"]

_TESTED: frozenset[Signal] = frozenset({"drift", "quality", "latency", "errors", "cost"})


class AssessmentState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``Assessment`` remembers, as plain data."""

    watches: DetectorSetState
    board: AlertStoreState
    swaps: VersionComparisonsState
    display: DisplayState
    since: dict[BaselineKind, tuple[str, int]]


class _InUse(msgspec.Struct, frozen=True, kw_only=True):
    baseline_id: str
    references: Mapping[str, Mapping[str, Reference]]


class Assessment:
    """What closed windows amount to.

    Attributes:
        board: What stands.
        display: What is kept for people's eyes.
        swaps: New versions and their comparisons.

    Args:
        plan: The settings.
        state: Where to go on from; then ``use`` the baselines that are in force.
    """

    def __init__(self, plan: MonitorPlan, state: AssessmentState | None = None) -> None:
        self.display = Display(
            plan.window_ms, plan.display_range_ms, state.display if state else None
        )
        self.board = AlertStore(state.board if state else None)
        self.swaps = VersionComparisons(plan.swap_alpha, state.swaps if state else None)
        self._watches = DetectorSet(plan, state.watches if state else None)
        self._in_use: dict[BaselineKind, _InUse] = {}
        self._since: dict[BaselineKind, tuple[str, int]] = dict(state.since) if state else {}

    # -- baselines -------------------------------------------------------------------------

    def use(
        self,
        kind: BaselineKind,
        baseline_id: str,
        references: Mapping[str, Mapping[str, Reference]],
        now_ms: int,
    ) -> list[Output]:
        """Hold the monitors of a kind to a baseline from now on.

        Evidence gathered against another one is dropped, and its alarms end.
        """
        self._in_use[kind] = _InUse(baseline_id=baseline_id, references=references)
        self._watches.use(kind, references)
        if self._since.get(kind, ("", 0))[0] != baseline_id:
            self._since[kind] = (baseline_id, now_ms)
        outputs: list[Output] = []
        for verdict in self.board.verdicts:
            tested = verdict.signal in _TESTED and baseline_kind(verdict.monitor) == kind
            if not tested or verdict.baseline in ("", baseline_id):
                continue
            said = (
                f"Baseline {baseline_id} is active: what was gathered against "
                f"{verdict.baseline} is dropped, and the monitor starts afresh."
            )
            key = (verdict.monitor, verdict.segment.key)
            outputs += self.board.end(key, "resolved", now_ms, said)
            outputs += self._afresh(key, said, now_ms)
        return outputs

    def baselines(self) -> tuple[BaselineInUse, ...]:
        """Return the baselines in use."""
        return tuple(
            BaselineInUse(
                kind=kind,
                baseline_id=in_use.baseline_id,
                since_ms=self._since[kind][1],
                monitors=tuple(sorted(in_use.references)),
                segments=tuple(sorted({k for one in in_use.references.values() for k in one})),
            )
            for kind, in_use in sorted(self._in_use.items())
        )

    def restart(self, key: Key, said: str, now_ms: int) -> list[Output]:
        """Start one monitor afresh, and say why."""
        self._watches.restart(key)
        self.swaps.acknowledge(key[0], Segment.from_key(key[1]))
        return self._afresh(key, said, now_ms)

    def _afresh(self, key: Key, said: str, now_ms: int) -> list[Output]:
        monitor, segment = key
        return self.board.post(
            untested_verdict(monitor, Segment.from_key(segment), State.LOW_DATA, said, now_ms)
        )

    # -- windows --------------------------------------------------------------------------

    def assess(self, window: MergedWindow) -> list[Output]:
        """Add up, compare and test one closed window, in order of time within its kind."""
        sketches = self._of_one_baseline(window)
        for sketch in sketches:
            self.swaps.notice(sketch.segment, window, self.display)
        for sketch in sketches:
            self.display.add(sketch)
            self.swaps.advance(sketch, window.end_ms)
        outputs: list[Output] = []
        for sketch in _by_scope(sketches):
            for monitor in monitors_in(sketch):
                outputs += self._test(monitor, sketch, window)
        for sketch in sketches:
            found = self.swaps.verdicts(window.kind, sketch.segment, window.end_ms)
            outputs += [output for verdict in found for output in self.board.post(verdict)]
        return outputs + self._escalate()

    def _of_one_baseline(self, window: MergedWindow) -> list[Sketch]:
        """Return one sketch for each segment: that of the active baseline, if there is one."""
        active = self._in_use.get("drift")
        chosen: dict[Segment, Sketch] = {}
        for sketch in window.sketches:
            if sketch.segment not in chosen or (active and sketch.baseline == active.baseline_id):
                chosen[sketch.segment] = sketch
        return list(chosen.values())

    def _test(self, monitor: str, sketch: Sketch, window: MergedWindow) -> list[Output]:
        key = (monitor, sketch.segment.key)
        verdict = self._watches.test(monitor, sketch, window, self.board, self)
        if verdict is None:
            return []
        outputs = self._standing(verdict) if verdict.signal == "quality" else []
        outputs += self._finite(key, window.end_ms)
        if verdict.log_threshold is not None:
            return outputs + self.board.post(verdict)
        # What cannot be tested leaves a latched alarm as it is.
        return outputs if self.board.alarm(key) else outputs + self.board.post_if_new(verdict)

    def _standing(self, verdict: Verdict) -> list[Output]:
        """Say when a judge that passed its anchors at the baseline's time no longer does."""
        standing = health.judge_standing(verdict, expected=self._watches.holds(verdict.monitor))
        if standing is None:
            return []
        known = self.board.verdict((standing.monitor, standing.segment.key))
        if known is None and standing.state == State.OK:
            return []
        return self.board.post_if_new(standing)

    def _finite(self, key: Key, time_ms: int) -> list[Output]:
        """Raise an alarm of the pipeline where a statistic is no finite number."""
        monitor, segment = key
        said = health.finite_statistics(
            monitor, Segment.from_key(segment), self._watches.not_finite(key), time_ms=time_ms
        )
        known = self.board.verdict((said.monitor, segment))
        if known is None and said.state == State.OK:
            return []
        return self.board.post_if_new(said)

    def quiet(self, kind: SketchKind, reached_ms: int) -> list[Output]:
        """Say which segments have had no events for long, up to a moment of event time."""
        outputs: list[Output] = []
        for monitor, segment in self._watches.quiet(kind, reached_ms):
            if self.board.alarm((monitor, segment)) is None:
                said = "No events for some time: nothing is tested."
                verdict = untested_verdict(
                    monitor, Segment.from_key(segment), State.NO_DATA, said, reached_ms
                )
                outputs += self.board.post_if_new(verdict)
        return outputs

    def _escalate(self) -> list[Output]:
        """Page where two signals of one model alarm at once and one of them is a harm."""
        outputs: list[Output] = []
        alarms = [alarm for alarm in self.board.alarms if alarm.signal in _TESTED]
        for model in sorted({alarm.segment.model for alarm in alarms}):
            mine = [alarm for alarm in alarms if alarm.segment.model == model]
            signals = {alarm.signal for alarm in mine}
            if len(signals) < 2 or not signals & HARMS:  # noqa: PLR2004 - two at once
                continue
            for alarm in mine:
                if alarm.severity != "page":
                    paged = msgspec.structs.replace(alarm.verdict, state=State.PAGE)
                    outputs += self.board.post(paged)
        return outputs

    # -- what detectors may ask ------------------------------------------------------------

    def exemplars(self, detector: Detector, indicator: str) -> tuple[Exemplar, ...]:
        """Return requests of the display range that show an indicator."""
        return self.display.exemplars(*self._watched(detector), indicator)

    def sample(self, detector: Detector, since: int) -> tuple[Sampled, ...]:
        """Return a sample of the display range's requests since a moment."""
        return self.display.sample(*self._watched(detector), since)

    def _watched(self, detector: Detector) -> tuple[SketchKind, list[Segment]]:
        kind = kind_of(detector.monitor)
        return kind, [s for s in self.display.segments() if scope(kind, s) == detector.segment]

    def coincidences(self, detector: Detector, since: int) -> tuple[str, ...]:
        """Return sentences on what else happened at that time."""
        traffic = scope("drift", detector.segment)
        stretches = [
            sketch
            for segment in self.display.segments()
            if scope("drift", segment) == traffic
            for sketch in self.display.recent("vitals", segment)
        ]
        scene = AttributionContext(
            self.swaps.known, self.board.alarms, load_ratio(stretches, since)
        )
        return coincidences(detector.monitor, detector.segment, since, scene)

    def state(self) -> AssessmentState:
        """Return everything that is remembered."""
        return AssessmentState(
            watches=self._watches.state(),
            board=self.board.state(),
            swaps=self.swaps.state(),
            display=self.display.state(),
            since=dict(self._since),
        )


def _by_scope(sketches: Sequence[Sketch]) -> list[Sketch]:
    """Merge the sketches that are tested together."""
    groups: dict[Segment, list[Sketch]] = {}
    for sketch in sketches:
        segment = scope(sketch.kind, sketch.segment)
        moved = msgspec.structs.replace(sketch, segment=segment)
        groups.setdefault(segment, []).append(moved)
    return [reduce(merge_sketches, groups[segment]) for segment in sorted(groups)]
