"""From closed windows to verdicts and alerts: sum, compare, test, attribute, latch, escalate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial, reduce
from typing import NamedTuple

import msgspec

from tidegauge.detection.reference import Reference, nearest
from tidegauge.monitoring.alert_store import AlertStore, AlertStoreState, key_of
from tidegauge.monitoring.attribution import (
    HARMS,
    Appearance,
    Appearances,
    AttributionContext,
    coincidences,
    load_ratio,
)
from tidegauge.monitoring.catalog import (
    COST_CUSTOMER,
    DRIFT_TOPICS,
    MonitorKey,
    baseline_kind,
    monitored_segment,
    monitors_in,
    statistics_monitor,
    worker_kind,
)
from tidegauge.monitoring.customer_costs import CustomerCosts, CustomerCostsState
from tidegauge.monitoring.detector_set import DetectorSet, DetectorSetState
from tidegauge.monitoring.display import Display, DisplayState
from tidegauge.monitoring.health import (
    condition_sentence,
    finite_statistics,
    judge_qualification,
)
from tidegauge.monitoring.incidents import within
from tidegauge.monitoring.intake import MergedWindow
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.trends import (
    AlarmTrend,
    AlarmTrends,
    SegmentHistory,
    SegmentHistoryState,
    TopicHistory,
    TopicTrend,
)
from tidegauge.monitoring.verdicts import untested_verdict, with_coincidences, with_evidence
from tidegauge.monitoring.version_comparisons import VersionComparisons, VersionComparisonsState
from tidegauge.monitoring.view import BaselineInUse
from tidegauge.reports.text import clip
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import Alert, Monitor, Signal, State
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.sketches import JudgeCondition, Sketch, SketchKind
from tidegauge.streaming.merging import merge_sketches
from tidegauge.streaming.processor import Output

__all__ = ["Assessment", "AssessmentState"]

_TESTED: frozenset[Signal] = frozenset({"drift", "quality", "latency", "errors", "cost"})


class AssessmentState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an ``Assessment`` as plain data."""

    detectors: DetectorSetState
    alerts: AlertStoreState
    comparisons: VersionComparisonsState
    display: DisplayState
    baselines_since: dict[BaselineKind, tuple[str, int]]
    history: SegmentHistoryState = SegmentHistoryState()
    alarm_trends: dict[str, AlarmTrend] = {}
    topics: dict[str, TopicTrend] = {}
    appearances: tuple[Appearance, ...] = ()
    customer_costs: CustomerCostsState = CustomerCostsState()


class _ActiveBaseline(NamedTuple):
    baseline_id: str
    references: Mapping[Monitor, Mapping[str, Reference]]


class Assessment:
    """Computes the verdicts on closed windows, and holds the state behind them.

    Attributes:
        alerts: The latest verdicts and the alarms that fire.
        display: Sums of sketches for the page and the API.
        history: Numbers of each segment over the last 30 days.
        alarm_trends: The rates by which the alarms that fire are known, over time.
        topics: What people have asked for, hour by hour.
        comparisons: New versions, each compared with the one before.

    Args:
        plan: The settings.
        state: The state to resume from; call ``use`` with the active baselines afterwards.
    """

    def __init__(self, plan: MonitorPlan, state: AssessmentState | None = None) -> None:
        self.display = Display(
            plan.window_ms, plan.display_range_ms, state.display if state else None
        )
        self.comparisons = VersionComparisons(plan, state.comparisons if state else None)
        self.alerts = AlertStore(
            state.alerts if state else None,
            swaps=lambda: {one.new: one.since_ms for one in self.comparisons.known},
            window_ms=plan.window_ms,
        )
        self.history = SegmentHistory(state.history if state else None)
        self.alarm_trends = AlarmTrends(state.alarm_trends if state else None)
        self.topics = TopicHistory(state.topics if state else None)
        self._customer_costs = CustomerCosts(plan, state.customer_costs if state else None)
        self._untested = plan.untested
        self._appearances = Appearances(state.appearances if state else ())
        self._detectors = DetectorSet(
            plan, self.display, self._coincidences, state.detectors if state else None
        )
        self._active: dict[BaselineKind, _ActiveBaseline] = {}
        self._since: dict[BaselineKind, tuple[str, int]] = (
            dict(state.baselines_since) if state else {}
        )

    # -- baselines -------------------------------------------------------------------------

    def use(
        self,
        kind: BaselineKind,
        baseline_id: str,
        references: Mapping[Monitor, Mapping[str, Reference]],
        now_ms: int,
        note: str = "",
    ) -> list[Output]:
        """Test the monitors of a kind against a baseline from now on.

        Evidence gathered against references that it does not hold is dropped, and the alarms
        raised by them end.

        Args:
            kind: Kind of the baseline.
            baseline_id: Its identity.
            references: Its references; those taken over have the id of an earlier baseline.
            now_ms: The time.
            note: Why it is in force, for people.
        """
        self._active[kind] = _ActiveBaseline(baseline_id, references)
        self._detectors.use(kind, references)
        if self._since.get(kind, ("", 0))[0] != baseline_id:
            self._since[kind] = (baseline_id, now_ms)
        outputs: list[Output] = []
        for verdict in self.alerts.verdicts:
            key = key_of(verdict)
            tested = verdict.signal in _TESTED and baseline_kind(key.monitor) == kind
            if not tested or not verdict.baseline:
                continue
            found = nearest(references.get(key.monitor, {}), key.segment)
            if verdict.baseline == (found[1].baseline if found else baseline_id):
                continue
            why = f" ({note})" if note else ""
            reason = (
                f"Baseline {baseline_id} is active{why}: evidence against {verdict.baseline} is "
                "dropped, and the monitor starts afresh."
            )
            outputs += self.alerts.end(key, now_ms, reason)
            outputs += self._low_data(key, reason, now_ms)
        return outputs

    def baselines(self) -> tuple[BaselineInUse, ...]:
        """Return the active baselines."""
        return tuple(
            BaselineInUse(
                kind=kind,
                baseline_id=active.baseline_id,
                since_ms=self._since[kind][1],
                monitors=tuple(sorted(monitor.name for monitor in active.references)),
                segments=tuple(sorted({k for one in active.references.values() for k in one})),
            )
            for kind, active in sorted(self._active.items())
        )

    def restart(self, key: MonitorKey, reason: str, now_ms: int) -> list[Output]:
        """Drop the evidence of one monitor on one segment; the reason becomes its verdict."""
        self._detectors.restart(key)
        if key.monitor == COST_CUSTOMER:
            self._customer_costs.restart(key.segment.customer)
        self.comparisons.close(key)
        return self._low_data(key, reason, now_ms)

    def _low_data(self, key: MonitorKey, reason: str, now_ms: int) -> list[Output]:
        return self.alerts.post(untested_verdict(key, State.LOW_DATA, reason, now_ms))

    # -- windows --------------------------------------------------------------------------

    def assess(self, window: MergedWindow) -> list[Output]:
        """Sum, compare and test one closed window; a kind's windows must come in order of time."""
        sketches = self._of_one_baseline(window)
        self._appearances.notice(sketches)
        for sketch in sketches:
            self.comparisons.notice(sketch.segment, window, self.display)
        for sketch in sketches:
            self.display.add(sketch)
            self.history.add(sketch)
        self.comparisons.advance(sketches, self.display, window.end_ms)
        outputs: list[Output] = []
        left_out = within(self._untested, window.start_ms, window.end_ms)
        for sketch in _by_monitored_segment(sketches):
            for key in (MonitorKey(monitor, sketch.segment) for monitor in monitors_in(sketch)):
                if left_out:
                    outputs += self._leave_out(key, left_out[0].reason, window.end_ms)
                else:
                    outputs += self._test(key, sketch, window)
            if sketch.kind == "drift":
                key = MonitorKey(DRIFT_TOPICS, sketch.segment)
                self.topics.add(sketch, partial(self._detectors.indicators, key))
        if window.kind == "vitals":
            outputs += self._compare_customers(window)
        for sketch in sketches:
            found = self.comparisons.verdicts(window.kind, sketch.segment, window.end_ms)
            outputs += [output for verdict in found for output in self.alerts.post(verdict)]
        if any(isinstance(output.event, Alert) for output in outputs):
            self._retell()
        self._follow_alarms(window.kind)
        return outputs + self._escalate()

    def _compare_customers(self, window: MergedWindow) -> list[Output]:
        latched = {
            alarm.segment.customer: alarm.severity == "critical"
            for alarm in self.alerts.alarms
            if alarm.monitor == COST_CUSTOMER.name
        }
        verdicts = self._customer_costs.add(window, latched)
        return [output for verdict in verdicts for output in self.alerts.post(verdict)]

    def _follow_alarms(self, kind: SketchKind) -> None:
        """Add the newest slots to the trends of the alarms that a kind's windows raise."""
        alarms = self.alerts.alarms
        self.alarm_trends.keep_only(alarm.alert_id for alarm in alarms)
        for alarm in alarms:
            key = key_of(alarm)
            if alarm.signal not in _TESTED or worker_kind(key.monitor) != kind:
                continue
            known = self.alarm_trends.get(alarm.alert_id)
            effects = alarm.verdict.effects
            if known is None and not effects:
                continue
            indicator = known.indicator if known else effects[0].indicator
            newest = known.points[-1].time_ms if known and known.points else 0
            slot_ms = self.display.slot_ms
            slots = [
                msgspec.structs.replace(sketch, window_start_ms=start)
                for sketch in self.display.watched(kind, key.segment)
                if (start := sketch.window_start_ms // slot_ms * slot_ms) >= newest
            ]
            points = self._detectors.rate_points(key, indicator, slots)
            if points:
                self.alarm_trends.update(alarm.alert_id, indicator, slot_ms, points)

    def _of_one_baseline(self, window: MergedWindow) -> list[Sketch]:
        """Return one sketch for each segment, by preference the active baseline's."""
        active = self._active.get("drift")
        chosen: dict[Segment, Sketch] = {}
        for sketch in window.sketches:
            if sketch.segment not in chosen or (active and sketch.baseline == active.baseline_id):
                chosen[sketch.segment] = sketch
        return list(chosen.values())

    def _test(self, key: MonitorKey, sketch: Sketch, window: MergedWindow) -> list[Output]:
        monitor, segment = key
        if monitor.signal == "latency" and self.comparisons.is_cold(segment, window.start_ms):
            return []
        alarm = self.alerts.alarm(key)
        verdict = self._detectors.test(key, sketch, window, alarm)
        if verdict is None:
            return []
        outputs: list[Output] = []
        if monitor.signal == "quality":
            # A judge that has references passed its golden set at the baseline's time.
            qualification = judge_qualification(
                monitor, verdict, expected=self._detectors.has_references(monitor)
            )
            outputs += self.alerts.post_unless_ok(qualification) if qualification else []
        outputs += self._check_numbers(key, window.end_ms)
        if verdict.log_threshold is not None:
            return outputs + self.alerts.post(verdict)
        # A window that cannot be tested leaves a latched alarm as it is.
        return outputs if alarm else outputs + self.alerts.post_if_changed(verdict)

    def _check_numbers(self, key: MonitorKey, time_ms: int) -> list[Output]:
        """Post whether a monitor's statistics are finite, once one of them was not."""
        number = self._detectors.not_finite(key)
        checked = MonitorKey(statistics_monitor(key.monitor), key.segment)
        if not number and self.alerts.verdict(checked) is None:
            return []
        return self.alerts.post_if_changed(finite_statistics(key, number, time_ms=time_ms))

    def _leave_out(self, key: MonitorKey, reason: str, time_ms: int) -> list[Output]:
        """Return what is said of a window that is not to be tested."""
        if self.alerts.alarm(key) is not None:
            return []
        said = f"Nothing is tested at this time ({clip(reason, 80)})."
        return self.alerts.post_if_changed(untested_verdict(key, State.NO_DATA, said, time_ms))

    def idle(
        self, kind: SketchKind, reached_ms: int, conditions: Mapping[str, JudgeCondition]
    ) -> list[Output]:
        """Return ``no_data`` verdicts of segments without events.

        Args:
            kind: Kind of worker.
            reached_ms: The time up to which its windows are closed.
            conditions: Judge -> why it gives no scores.
        """
        outputs: list[Output] = []
        for key in self._detectors.idle(kind, reached_ms):
            if self.alerts.alarm(key) is None:
                sentence = "No events for some time: nothing is tested."
                if (condition := conditions.get(key.monitor.kind)) is not None:
                    sentence = f"{condition_sentence(condition)} Nothing is tested."
                verdict = untested_verdict(key, State.NO_DATA, sentence, reached_ms)
                verdict = with_evidence(verdict, self.alerts.verdict(key))
                outputs += self.alerts.post_if_changed(verdict)
        return outputs

    def _retell(self) -> None:
        """Say anew what coincides with the alarms that fire: another one has begun or ended."""
        for alarm in self.alerts.alarms:
            since_ms = alarm.verdict.since_ms
            if since_ms is not None:
                found = self._detectors.look_again(key_of(alarm), since_ms)
                if found is not None and found != alarm.verdict.coincidences:
                    self.alerts.retell(with_coincidences(alarm.verdict, found))

    def _escalate(self) -> list[Output]:
        """Make alarms critical where two signals of a model alarm, at least one of them a harm."""
        outputs: list[Output] = []
        alarms = [alarm for alarm in self.alerts.alarms if alarm.signal in _TESTED]
        for model in sorted({alarm.segment.model for alarm in alarms}):
            of_model = [alarm for alarm in alarms if alarm.segment.model == model]
            signals = {alarm.signal for alarm in of_model}
            if len(signals) < 2 or not signals & HARMS:  # noqa: PLR2004 - two at once
                continue
            for alarm in of_model:
                if alarm.severity != "critical":
                    raised = msgspec.structs.replace(alarm.verdict, state=State.CRITICAL)
                    outputs += self.alerts.post(raised)
        return outputs

    def _coincidences(self, key: MonitorKey, since_ms: int) -> tuple[str, ...]:
        """Return sentences on what else happened around a moment."""
        monitor, segment = key
        vitals = self.display.of_all_versions("vitals", segment)
        context = AttributionContext(
            self.comparisons.known,
            self.alerts.alarms,
            load_ratio(vitals, since_ms),
            self._appearances.sentences(segment.model, since_ms),
        )
        return coincidences(monitor, segment, since_ms, context)

    def state(self) -> AssessmentState:
        """Return the state as plain data."""
        return AssessmentState(
            detectors=self._detectors.state(),
            alerts=self.alerts.state(),
            comparisons=self.comparisons.state(),
            display=self.display.state(),
            baselines_since=dict(self._since),
            history=self.history.state(),
            alarm_trends=self.alarm_trends.state(),
            topics=self.topics.state(),
            appearances=self._appearances.state(),
            customer_costs=self._customer_costs.state(),
        )


def _by_monitored_segment(sketches: Sequence[Sketch]) -> list[Sketch]:
    """Merge the sketches that are tested together."""
    groups: dict[Segment, list[Sketch]] = {}
    for sketch in sketches:
        segment = monitored_segment(sketch.kind, sketch.segment)
        moved = msgspec.structs.replace(sketch, segment=segment)
        groups.setdefault(segment, []).append(moved)
    return [reduce(merge_sketches, groups[segment]) for segment in sorted(groups)]
