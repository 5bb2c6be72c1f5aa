"""The monitor as a ``Processor``: sketches, heartbeats and controls in, verdicts and alerts out.

It reads topics of one partition each and keeps one state for each: sketches, producers'
heartbeats and people's controls. Every state is plain, versioned data, and a replay of the
same records gives the same evidence bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from tidegauge.detection.reference import Reference
from tidegauge.monitoring import health
from tidegauge.monitoring.alert_store import Controls, ControlsState, key_of, matches
from tidegauge.monitoring.assessment import Assessment, AssessmentState
from tidegauge.monitoring.budgets import budget_verdicts
from tidegauge.monitoring.errors import MonitorStateError
from tidegauge.monitoring.health import judge_conditions, judge_replies
from tidegauge.monitoring.intake import (
    Windows,
    WindowsState,
    bounded_heartbeat,
    check_progress,
    check_sketch,
)
from tidegauge.monitoring.ledger import (
    READS,
    Ledger,
    MissedRecords,
    Producers,
    ProducersState,
    account,
)
from tidegauge.monitoring.ledger_hours import LedgerHours, LedgerHoursState
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.view import MonitorView
from tidegauge.reports.cost_view import CostView
from tidegauge.schemas import OTHER, DecodeError, DecodeReason, decode
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.findings import Monitor, State
from tidegauge.schemas.operations import BaselineActivation, BaselineKind, Control
from tidegauge.schemas.sketches import Progress, Sketch, SketchKind
from tidegauge.schemas.topics import BASELINES, CONTROLS, HEARTBEATS, SKETCHES
from tidegauge.streaming.processor import (
    NOTHING,
    Jump,
    Output,
    Partition,
    ProcessingResult,
    Record,
    Rejection,
)

__all__ = ["TOPICS", "MonitorProcessor"]

TOPICS = (SKETCHES, HEARTBEATS, CONTROLS, BASELINES)
"""The topics that the monitor reads."""

_VERSION = 4

References: TypeAlias = Mapping[str, Mapping[str, Reference]]
"""Monitor's name -> segment key -> reference, as in a baseline's document."""

_References: TypeAlias = Mapping[Monitor, Mapping[str, Reference]]

T = TypeVar("T", bound=msgspec.Struct)


class _Form(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that identify the version of a state of the sketches' partition."""

    version: int
    window_ms: int


class _Core(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the sketches' partition."""

    version: int = _VERSION
    window_ms: int
    started_ms: int
    windows: WindowsState
    assessment: AssessmentState
    closed_losses: dict[str, int]
    ledger_hours: LedgerHoursState = LedgerHoursState()
    missed: tuple[MissedRecords, ...] = ()


class MonitorProcessor:
    """Merges sketches into windows, tests them, latches alarms and keeps the ledger.

    Calls must not overlap, those of ``view`` included: all come from one thread.

    Args:
        plan: The settings.
        log_faults: What is wrong with the topics' settings on the broker, a sentence each.
    """

    def __init__(self, plan: MonitorPlan, log_faults: Sequence[str] = ()) -> None:
        self._plan = plan
        self._log_faults = tuple(log_faults)
        self._in_use: dict[BaselineKind, tuple[str, _References]] = {}
        self._wanted: dict[BaselineKind, BaselineActivation] = {}
        self._refused: dict[BaselineKind, str] = {}
        self._costs: CostView | None = None
        self._producers = Producers(plan.settle_ms)
        self._controls = Controls()
        self._missed: dict[str, MissedRecords] = {}
        self._reported_ms: dict[tuple[SketchKind, int], int] = {}
        self._began_ms: int | None = None
        self._now_ms = 0
        self._pending: list[Output] = []
        self._begin(None)

    def _begin(self, core: _Core | None) -> None:
        plan = self._plan
        self._started_ms = core.started_ms if core else 0
        self._windows = Windows(plan.window_ms, plan.partitions, core.windows if core else None)
        self._assessment = Assessment(plan, core.assessment if core else None)
        self._segments = set(self._assessment.display.segments())
        self._segments |= {sketch.segment for sketch in core.windows.open} if core else set()
        self._ledger_hours = LedgerHours(core.ledger_hours if core else None)
        closed = core.closed_losses if core else {}
        self._closed_losses = {Monitor.parse(name): n for name, n in closed.items()}
        self._reported_ms = {}
        for kind, (baseline_id, references) in self._in_use.items():
            self._pending += self._assessment.use(kind, baseline_id, references, self._now_ms)

    @property
    def wanted(self) -> Mapping[BaselineKind, str]:
        """Baselines that have been activated and are not in use yet: pass them to ``use``."""
        return {
            kind: wanted.baseline_id
            for kind, wanted in self._wanted.items()
            if kind not in self._in_use or self._in_use[kind][0] != wanted.baseline_id
        }

    def refuse(self, kind: BaselineKind, why: str) -> None:
        """Note that the baseline in force cannot be used; it is said until one of its kind is."""
        self._refused[kind] = why

    def note_costs(self, costs: CostView | None) -> None:
        """Note what the upstreams cost by now; the next ``tick`` holds the budgets against it."""
        self._costs = costs

    def use(
        self,
        kind: BaselineKind,
        baseline_id: str,
        references: References,
        now_ms: int,
    ) -> None:
        """Test the monitors of a kind against a baseline from now on.

        Evidence gathered against another baseline is dropped, and its alarms end; the next
        ``process`` or ``tick`` returns the outputs.

        Args:
            kind: Kind of the baseline.
            baseline_id: Its identity, as in the references.
            references: Monitor's name -> segment key -> reference; the key ``""`` stands for
                all traffic.
            now_ms: The time.

        Raises:
            MonitorNameError: A name in the references is not a monitor's.
        """
        parsed = {Monitor.parse(name): found for name, found in references.items()}
        self._refused.pop(kind, None)
        self._in_use[kind] = (baseline_id, parsed)
        self._now_ms = max(self._now_ms, now_ms)
        wanted = self._wanted.get(kind)
        note = wanted.note if wanted is not None and wanted.baseline_id == baseline_id else ""
        self._pending += self._assessment.use(kind, baseline_id, parsed, self._now_ms, note)

    def assign(self, partition: Partition, snapshot: bytes | None) -> None:
        """Take over a partition.

        Raises:
            MonitorStateError: The topic has more than one partition, or the snapshot is of
                another version or another window length.
        """
        if partition.index != 0:
            raise MonitorStateError(
                f"{partition.topic} must have one partition, it has partition "
                f"{partition.index}: create it again with `tidegauge topics ensure`"
            )
        if partition.topic == SKETCHES.name:
            core = self._core(snapshot) if snapshot else None
            self._begin(core)
            for each in core.missed if core else ():
                self._miss(each)
        elif partition.topic == HEARTBEATS.name:
            state = _read(snapshot, ProducersState) if snapshot else None
            self._producers = Producers(self._plan.settle_ms, state)
        elif partition.topic == CONTROLS.name:
            self._controls = Controls(_read(snapshot, ControlsState) if snapshot else None)

    def _core(self, snapshot: bytes) -> _Core:
        form = _read(snapshot, _Form)
        if form.version != _VERSION or form.window_ms != self._plan.window_ms:
            raise MonitorStateError(
                f"the monitor's snapshot has version {form.version} and windows of "
                f"{form.window_ms} ms, this one {_VERSION} and {self._plan.window_ms} ms: set "
                "TIDEGAUGE_WINDOW_SECONDS back, or start the monitor under another group"
            )
        return _read(snapshot, _Core)

    def revoke(self, partition: Partition) -> None:
        """Forget a partition."""
        self.assign(partition, None)
        if partition.topic == SKETCHES.name:
            self._missed.clear()

    def jumped(self, partition: Partition, jump: Jump) -> None:
        """Go on at another offset, and count what was missed."""
        topic, remade = partition.topic, int(jump.remade)
        self._miss(MissedRecords(topic=topic, expired=jump.expired, remade=remade))

    def _miss(self, missed: MissedRecords) -> None:
        before = self._missed.get(missed.topic)
        self._missed[missed.topic] = before + missed if before else missed

    def snapshot(self, partition: Partition) -> bytes:
        """Return a partition's state as plain, versioned data."""
        if partition.topic == HEARTBEATS.name:
            return msgspec.msgpack.encode(self._producers.state())
        if partition.topic == CONTROLS.name:
            return msgspec.msgpack.encode(self._controls.state())
        if partition.topic != SKETCHES.name:
            return b""
        return msgspec.msgpack.encode(
            _Core(
                window_ms=self._plan.window_ms,
                started_ms=self._started_ms,
                windows=self._windows.state(),
                assessment=self._assessment.state(),
                closed_losses={monitor.name: n for monitor, n in self._closed_losses.items()},
                ledger_hours=self._ledger_hours.state(),
                missed=tuple(self._missed.values()),
            )
        )

    def process(self, records: Sequence[Record], now_ms: int) -> ProcessingResult:
        """Process records, and test the windows that they close."""
        self._now_ms = now_ms
        outputs: list[Output] = []
        rejections: list[Rejection] = []
        for record in records:
            try:
                outputs += self._take(record, now_ms)
            except DecodeError as error:
                rejections.append(Rejection(record, error.reason.value, error.detail))
        outputs += self._close()
        return ProcessingResult(self._published(outputs), tuple(rejections))

    def tick(self, now_ms: int) -> ProcessingResult:
        """Check the pipeline's own health."""
        self._now_ms = now_ms
        if self._began_ms is None:
            self._began_ms = now_ms
        for report in self._windows.progress:
            self._reported_ms.setdefault((report.kind, report.partition), now_ms)
        verdicts = health.silent_workers(
            self._plan.expected,
            self._reported_ms,
            now_ms=now_ms,
            began_ms=self._began_ms,
            silent_ms=self._plan.silent_ms,
        )
        ledger = self._ledger()
        self._ledger_hours.look(ledger, now_ms)
        verdicts += health.lost_events(ledger, self._closed_losses, now_ms=now_ms)
        verdicts.append(
            health.log_state(ledger, self._closed_losses, self._log_faults, now_ms=now_ms)
        )
        alerts = self._assessment.alerts
        outputs = alerts.post_unless_ok(
            health.refused_baselines(self._windows.progress, self._refused, now_ms=now_ms)
        )
        for verdict in judge_replies(
            self._windows.progress, map(key_of, alerts.verdicts), now_ms=now_ms
        ):
            outputs += alerts.post_unless_ok(verdict)
        if self._costs is not None:
            known = list(map(key_of, alerts.verdicts))
            for verdict in budget_verdicts(self._costs, known, now_ms=now_ms):
                outputs += alerts.post_if_changed(verdict)
        for verdict in verdicts:
            silent = verdict.state == State.NO_DATA
            outputs += alerts.post_if_changed(verdict, severity="warn" if silent else None)
        published = self._published(outputs)
        return ProcessingResult(published) if published else NOTHING

    def _published(self, outputs: list[Output]) -> tuple[Output, ...]:
        found = [*self._pending, *outputs]
        self._pending = []
        firing = (key_of(alarm) for alarm in self._assessment.alerts.alarms)
        silenced = [key for key in firing if self._controls.silenced(key, self._now_ms)]
        return tuple(self._assessment.alerts.withhold(silenced, found))

    def _take(self, record: Record, now_ms: int) -> list[Output]:
        topic = record.partition.topic
        if record.unreadable:
            raise DecodeError(DecodeReason.NOT_UNPACKED, record.unreadable)
        if topic == SKETCHES.name:
            event: Sketch | Progress = decode(record.value, Sketch, Progress)
            if isinstance(event, Progress):
                check_progress(event, now_ms)
                if self._windows.report(event):
                    self._reported_ms[event.kind, event.partition] = now_ms
            else:
                check_sketch(event, now_ms)
                self._windows.accept(self._bounded(event))
        elif topic == HEARTBEATS.name:
            self._producers.add(bounded_heartbeat(decode(record.value, Heartbeat), now_ms))
        elif topic == CONTROLS.name:
            control = decode(record.value, Control)
            if self._controls.add(control):
                return self._apply(control)
        elif topic == BASELINES.name:
            activation = _activation(record)
            if activation is not None:
                self._wanted[activation.kind] = activation
        return []

    def _bounded(self, sketch: Sketch) -> Sketch:
        segment = sketch.segment.bounded
        if segment is not sketch.segment:
            sketch = msgspec.structs.replace(sketch, segment=segment)
        if sketch.segment in self._segments or len(self._segments) < self._plan.most_segments:
            self._segments.add(sketch.segment)
            return sketch
        return msgspec.structs.replace(sketch, segment=OTHER)

    def _apply(self, control: Control) -> list[Output]:
        """Acknowledge or close the alarms that a control names; silences apply by themselves."""
        if control.action == "close":
            return self._close_alarms(control)
        if control.action == "silence":
            return []
        alerts = self._assessment.alerts
        keys = [key_of(alarm) for alarm in alerts.alarms]
        return [
            output
            for key in keys
            if matches(control, key)
            for output in alerts.acknowledge(key, control)
        ]

    def _close_alarms(self, control: Control) -> list[Output]:
        alerts = self._assessment.alerts
        counts = health.loss_counts(self._ledger())
        by = f" by {control.who}" if control.who else ""
        reason = (
            f"Closed{by}: the monitor starts afresh. If the change is the new normal, build "
            "a baseline from the time since (`tidegauge baseline build --help`)."
        )
        outputs: list[Output] = []
        for verdict in alerts.verdicts:
            key = key_of(verdict)
            alarmed = alerts.alarm(key) is not None or verdict.state == State.INFO
            if not alarmed or not matches(control, key):
                continue
            outputs += alerts.end(key, control.time_ms, reason)
            if key.monitor in counts:
                self._closed_losses[key.monitor] = counts[key.monitor]
            elif key.monitor.signal != "pipeline":
                outputs += self._assessment.restart(key, reason, control.time_ms)
        return outputs

    def _close(self) -> list[Output]:
        closed = self._windows.close()
        if closed:
            self._started_ms = self._started_ms or closed[0].start_ms
        outputs = [output for window in closed for output in self._assessment.assess(window)]
        for kind in READS:
            reached = self._windows.watermark_ms(kind)
            if reached is not None:
                judging = kind == "quality"
                conditions = judge_conditions(self._windows.progress) if judging else {}
                outputs += self._assessment.idle(kind, reached, conditions)
        return outputs

    def _ledger(self) -> Ledger:
        return account(
            self._producers.counts(),
            self._windows.progress,
            self._plan.partitions,
            settle_ms=self._plan.settle_ms,
            missed=self._missed.values(),
        )

    def view(self) -> MonitorView:
        """Return the monitor's state as of the last ``process`` or ``tick``, to show."""
        ledger = self._ledger()
        return MonitorView(
            time_ms=self._now_ms,
            started_ms=self._started_ms,
            window_ms=self._plan.window_ms,
            display_range_ms=self._plan.display_range_ms,
            segments=tuple(
                msgspec.structs.replace(
                    found, history=self._assessment.history.points(found.segment)
                )
                for found in self._assessment.display.views()
            ),
            verdicts=self._assessment.alerts.verdicts,
            history=self._assessment.alerts.history,
            alerts=self._assessment.alerts.alarms,
            ledger=ledger,
            ledger_hours=self._ledger_hours.hours(ledger, self._now_ms),
            progress=self._windows.progress,
            version_comparisons=self._assessment.comparisons.views(),
            baselines=self._assessment.baselines(),
            silences=self._controls.in_force(self._now_ms),
            alarm_trends=self._assessment.alarm_trends.state(),
            topics=self._assessment.topics.state(),
        )


def _read(snapshot: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(snapshot, type=kind)
    except msgspec.DecodeError as error:
        raise MonitorStateError(
            f"the monitor's snapshot cannot be read ({error}): start the monitor under "
            "another group, or with the release that wrote it"
        ) from error


def _activation(record: Record) -> BaselineActivation | None:
    """Return a baseline's activation; None for the topic's other records."""
    try:
        return decode(record.value, BaselineActivation)
    except DecodeError as error:
        if error.reason == DecodeReason.UNKNOWN_TYPE:
            return None
        raise
