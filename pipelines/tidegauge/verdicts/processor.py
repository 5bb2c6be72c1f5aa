"""The monitor as a ``Processor``: sketches, heartbeats and controls in, verdicts and alerts out.

It reads topics of one partition each and keeps their states apart: what sketches have
brought, what producers have said, what people have said. All of it is plain, versioned
data, and a replay of the same records gives the same evidence bit by bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TypeVar

import msgspec

from tidegauge.engine.reference import Reference
from tidegauge.schemas import OTHER, DecodeError, DecodeReason, Segment, decode
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.findings import State
from tidegauge.schemas.operations import BaselineActivation, BaselineKind, Control
from tidegauge.schemas.sketches import Exemplar, Progress, Sketch, SketchKind
from tidegauge.schemas.topics import BASELINES, CONTROLS, HEARTBEATS, SKETCHES
from tidegauge.stream.merging import merge_sketches
from tidegauge.stream.processor import NOTHING, Outcome, Output, Partition, Record, Rejection
from tidegauge.verdicts import health
from tidegauge.verdicts.attribution import HARMS, Scene, coincidences, load_ratio
from tidegauge.verdicts.blocks import Block, Blocks, BlocksState
from tidegauge.verdicts.board import Board, BoardState
from tidegauge.verdicts.catalog import kind_of, monitors_in, scope, signal_of
from tidegauge.verdicts.controls import Controls, ControlsState, matches
from tidegauge.verdicts.detection import Detector
from tidegauge.verdicts.display import Display, DisplayState
from tidegauge.verdicts.errors import MonitorStateError
from tidegauge.verdicts.findings import untested_verdict
from tidegauge.verdicts.ledger import READS, Ledger, account
from tidegauge.verdicts.plan import Plan
from tidegauge.verdicts.producers import Producers, ProducersState
from tidegauge.verdicts.swaps import Swaps, SwapsState
from tidegauge.verdicts.view import BaselineInUse, MonitorView
from tidegauge.verdicts.watches import Watches, WatchesState, baseline_kind

__all__ = ["TOPICS", "MonitorProcessor"]

TOPICS = (SKETCHES, HEARTBEATS, CONTROLS, BASELINES)
"""What the monitor reads."""

_VERSION = 1
_RATES_SIGNALS = frozenset({"drift", "quality", "latency", "errors", "cost"})

T = TypeVar("T", bound=msgspec.Struct)


class _Core(msgspec.Struct, frozen=True, kw_only=True):
    """What the sketches' partition remembers."""

    version: int = _VERSION
    block_ms: int
    started_ms: int
    blocks: BlocksState
    watches: WatchesState
    board: BoardState
    swaps: SwapsState
    display: DisplayState
    accepted: dict[str, int]
    since: dict[BaselineKind, tuple[str, int]]


class _InUse(msgspec.Struct, frozen=True, kw_only=True):
    baseline_id: str
    references: Mapping[str, Mapping[str, Reference]]


class MonitorProcessor:
    """Merges, tests, latches and accounts.

    Calls may not overlap; ``view`` belongs to the same thread as the others.

    Args:
        plan: The settings.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._in_use: dict[BaselineKind, _InUse] = {}
        self._wanted: dict[BaselineKind, str] = {}
        self._producers = Producers(plan.settle_ms)
        self._controls = Controls()
        self._heard_ms: dict[tuple[SketchKind, int], int] = {}
        self._began_ms: int | None = None
        self._now_ms = 0
        self._pending: list[Output] = []
        self._begin(None)

    def _begin(self, core: _Core | None) -> None:
        plan = self._plan
        self._started_ms = core.started_ms if core else 0
        self._blocks = Blocks(plan.block_ms, plan.partitions, core.blocks if core else None)
        self._display = Display(plan.block_ms, plan.window_ms, core.display if core else None)
        self._segments = set(self._display.segments())
        self._board = Board(core.board if core else None)
        self._swaps = Swaps(plan.swap_alpha, core.swaps if core else None)
        self._watches = Watches(plan, core.watches if core else None)
        self._accepted: dict[str, int] = dict(core.accepted) if core else {}
        self._since: dict[BaselineKind, tuple[str, int]] = dict(core.since) if core else {}
        self._heard_ms = {}
        for kind, in_use in self._in_use.items():
            self._hold_to(kind, in_use)

    # -- baselines ---------------------------------------------------------------------

    @property
    def wanted(self) -> Mapping[BaselineKind, str]:
        """Baselines that have been activated and are not in use yet: hand them to ``use``."""
        return {
            kind: baseline_id
            for kind, baseline_id in self._wanted.items()
            if kind not in self._in_use or self._in_use[kind].baseline_id != baseline_id
        }

    def use(
        self,
        kind: BaselineKind,
        baseline_id: str,
        references: Mapping[str, Mapping[str, Reference]],
        now_ms: int,
    ) -> None:
        """Hold the monitors of a kind to a baseline from now on.

        Evidence gathered against another one is dropped, and its alarms end; what comes of
        that is returned by the next ``process`` or ``tick``.

        Args:
            kind: Kind of the baseline.
            baseline_id: Its identity, as in the references.
            references: Monitor -> segment key -> what is normal; ``""`` for all traffic.
            now_ms: The time.
        """
        self._in_use[kind] = _InUse(baseline_id=baseline_id, references=references)
        self._now_ms = max(self._now_ms, now_ms)
        self._hold_to(kind, self._in_use[kind])

    def _hold_to(self, kind: BaselineKind, in_use: _InUse) -> None:
        self._watches.use(kind, in_use.references)
        if self._since.get(kind, ("", 0))[0] != in_use.baseline_id:
            self._since[kind] = (in_use.baseline_id, self._now_ms)
        for verdict in self._board.verdicts:
            key = (verdict.monitor, verdict.segment.key)
            tested = verdict.signal in _RATES_SIGNALS and baseline_kind(verdict.monitor) == kind
            if not tested or verdict.baseline in ("", in_use.baseline_id):
                continue
            said = (
                f"Baseline {in_use.baseline_id} is active: what was gathered against "
                f"{verdict.baseline} is dropped, and the monitor starts afresh."
            )
            self._pending += self._board.end(key, "resolved", self._now_ms, said)
            self._pending += self._board.post(
                untested_verdict(
                    verdict.monitor, verdict.segment, State.LOW_DATA, said, self._now_ms
                )
            )

    # -- the processor's contract --------------------------------------------------------

    def assign(self, partition: Partition, snapshot: bytes | None) -> None:
        """Take over a partition.

        Raises:
            MonitorStateError: The topic has more than one partition, or the snapshot is of
                another version or another block length.
        """
        if partition.index != 0:
            raise MonitorStateError(
                f"{partition.topic} must have one partition, it has partition "
                f"{partition.index}: create it again with `tidegauge topics ensure`"
            )
        if partition.topic == SKETCHES.name:
            self._begin(self._core(snapshot) if snapshot else None)
        elif partition.topic == HEARTBEATS.name:
            state = _read(snapshot, ProducersState) if snapshot else None
            self._producers = Producers(self._plan.settle_ms, state)
        elif partition.topic == CONTROLS.name:
            self._controls = Controls(_read(snapshot, ControlsState) if snapshot else None)

    def _core(self, snapshot: bytes) -> _Core:
        core = _read(snapshot, _Core)
        if core.version != _VERSION or core.block_ms != self._plan.block_ms:
            raise MonitorStateError(
                f"the monitor's snapshot has version {core.version} and blocks of "
                f"{core.block_ms} ms, this one {_VERSION} and {self._plan.block_ms} ms: set "
                "TIDEGAUGE_BLOCK_SECONDS back, or start the monitor under another group"
            )
        return core

    def revoke(self, partition: Partition) -> None:
        """Forget a partition."""
        self.assign(partition, None)

    def snapshot(self, partition: Partition) -> bytes:
        """Return a partition's whole state as plain, versioned data."""
        if partition.topic == HEARTBEATS.name:
            return msgspec.msgpack.encode(self._producers.state())
        if partition.topic == CONTROLS.name:
            return msgspec.msgpack.encode(self._controls.state())
        if partition.topic != SKETCHES.name:
            return b""
        return msgspec.msgpack.encode(
            _Core(
                block_ms=self._plan.block_ms,
                started_ms=self._started_ms,
                blocks=self._blocks.state(),
                watches=self._watches.state(),
                board=self._board.state(),
                swaps=self._swaps.state(),
                display=self._display.state(),
                accepted=dict(self._accepted),
                since=dict(self._since),
            )
        )

    def process(self, records: Sequence[Record], now_ms: int) -> Outcome:
        """Take records into account and test the blocks that they close."""
        self._now_ms = now_ms
        outputs: list[Output] = []
        rejections: list[Rejection] = []
        for record in records:
            try:
                outputs += self._take(record, now_ms)
            except DecodeError as error:
                rejections.append(Rejection(record, error.reason.value, error.detail))
        outputs += self._close()
        return Outcome(self._released(outputs), tuple(rejections))

    def tick(self, now_ms: int) -> Outcome:
        """Look after the pipeline's own health."""
        self._now_ms = now_ms
        if self._began_ms is None:
            self._began_ms = now_ms
        for report in self._blocks.progress:
            self._heard_ms.setdefault((report.kind, report.partition), now_ms)
        verdicts = health.silent_workers(
            self._plan.expected,
            self._heard_ms,
            now_ms=now_ms,
            began_ms=self._began_ms,
            silent_ms=self._plan.silent_ms,
        )
        verdicts += health.lost_events(self._ledger(), self._accepted, now_ms=now_ms)
        outputs: list[Output] = []
        for verdict in verdicts:
            silent = verdict.state == State.NO_DATA
            outputs += self._board.post_if_new(verdict, loud="warn" if silent else None)
        released = self._released(outputs)
        return Outcome(released) if released else NOTHING

    def _released(self, outputs: list[Output]) -> tuple[Output, ...]:
        found = [*self._pending, *outputs]
        self._pending = []
        mute = [
            (alarm.monitor, alarm.segment.key)
            for alarm in self._board.alarms
            if self._controls.silenced((alarm.monitor, alarm.segment.key), self._now_ms)
        ]
        return tuple(self._board.hold_back(mute, found))

    def _take(self, record: Record, now_ms: int) -> list[Output]:
        topic = record.partition.topic
        if topic == SKETCHES.name:
            event: Sketch | Progress = decode(record.value, Sketch, Progress)
            if isinstance(event, Progress):
                if self._blocks.report(event):
                    self._heard_ms[event.kind, event.partition] = now_ms
            else:
                self._blocks.accept(self._bounded(event))
        elif topic == HEARTBEATS.name:
            self._producers.hear(decode(record.value, Heartbeat))
        elif topic == CONTROLS.name:
            control = decode(record.value, Control)
            if self._controls.add(control) and control.action == "acknowledge":
                return self._acknowledge(control)
        elif topic == BASELINES.name:
            activation = _activation(record)
            if activation is not None:
                self._wanted[activation.kind] = activation.baseline_id
        return []

    def _bounded(self, sketch: Sketch) -> Sketch:
        if sketch.segment in self._segments or len(self._segments) < self._plan.most_segments:
            self._segments.add(sketch.segment)
            return sketch
        return msgspec.structs.replace(sketch, segment=OTHER)

    def _acknowledge(self, control: Control) -> list[Output]:
        outputs: list[Output] = []
        counts = health.standing_counts(self._ledger())
        by = f" by {control.who}" if control.who else ""
        for verdict in self._board.verdicts:
            key = (verdict.monitor, verdict.segment.key)
            alarmed = self._board.alarm(key) is not None or verdict.state == State.INFO
            if not alarmed or not matches(control, key):
                continue
            said = f"Acknowledged{by}: the monitor starts afresh."
            outputs += self._board.end(key, "acknowledged", control.time_ms, said)
            if verdict.monitor in counts:
                self._accepted[verdict.monitor] = counts[verdict.monitor]
                continue
            self._watches.restart(key)
            outputs += self._board.post(
                untested_verdict(
                    verdict.monitor, verdict.segment, State.LOW_DATA, said, control.time_ms
                )
            )
        return outputs

    # -- blocks --------------------------------------------------------------------------

    def _close(self) -> list[Output]:
        outputs: list[Output] = []
        closed = self._blocks.close()
        for block in closed:
            outputs += self._judge(block)
        for kind in READS:
            outputs += self._quiet(kind)
        return outputs + self._escalate() if closed else outputs

    def _judge(self, block: Block) -> list[Output]:
        if not self._started_ms:
            self._started_ms = block.start_ms
        sketches = self._of_one_baseline(block)
        for sketch in sketches:
            self._swaps.notice(sketch.segment, block, self._display)
        for sketch in sketches:
            self._display.add(sketch)
            self._swaps.advance(sketch, block.end_ms)
        outputs: list[Output] = []
        for sketch in _by_scope(sketches):
            for monitor in monitors_in(sketch):
                outputs += self._test(monitor, sketch, block)
        for sketch in sketches:
            found = self._swaps.verdicts(block.kind, sketch.segment, block.end_ms)
            outputs += [output for verdict in found for output in self._board.post(verdict)]
        return outputs

    def _of_one_baseline(self, block: Block) -> list[Sketch]:
        """Return one sketch for each segment: that of the active baseline, if there is one."""
        active = self._in_use.get("drift")
        chosen: dict[Segment, Sketch] = {}
        for sketch in block.sketches:
            if sketch.segment not in chosen or (active and sketch.baseline == active.baseline_id):
                chosen[sketch.segment] = sketch
        return list(chosen.values())

    def _test(self, monitor: str, sketch: Sketch, block: Block) -> list[Output]:
        key = (monitor, sketch.segment.key)
        verdict = self._watches.test(monitor, sketch, block, self._board, self)
        if verdict is None:
            return []
        if verdict.log_threshold is not None:
            return self._board.post(verdict)
        # What cannot be tested leaves a latched alarm as it is.
        return [] if self._board.alarm(key) else self._board.post_if_new(verdict)

    def _quiet(self, kind: SketchKind) -> list[Output]:
        reached = self._blocks.frontier_ms(kind)
        if reached is None:
            return []
        outputs: list[Output] = []
        for monitor, segment in self._watches.quiet(kind, reached):
            if self._board.alarm((monitor, segment)) is None:
                said = "No events for some time: nothing is tested."
                verdict = untested_verdict(
                    monitor, Segment.from_key(segment), State.NO_DATA, said, reached
                )
                outputs += self._board.post_if_new(verdict)
        return outputs

    def _escalate(self) -> list[Output]:
        """Page where two signals of one model alarm at once and one of them is a harm."""
        outputs: list[Output] = []
        alarms = [alarm for alarm in self._board.alarms if alarm.signal in _RATES_SIGNALS]
        for model in sorted({alarm.segment.model for alarm in alarms}):
            mine = [alarm for alarm in alarms if alarm.segment.model == model]
            signals = {alarm.signal for alarm in mine}
            if len(signals) < 2 or not signals & HARMS:  # noqa: PLR2004 - two at once
                continue
            for alarm in mine:
                if alarm.severity != "page":
                    paged = msgspec.structs.replace(alarm.verdict, state=State.PAGE)
                    outputs += self._board.post(paged)
        return outputs

    # -- what detectors may ask ------------------------------------------------------------

    def exemplars(self, detector: Detector, indicator: str) -> tuple[Exemplar, ...]:
        """Return requests of the display window that show an indicator."""
        kind = kind_of(detector.monitor)
        segments = [s for s in self._display.segments() if scope(kind, s) == detector.segment]
        return self._display.exemplars(kind, segments, indicator)

    def coincidences(self, detector: Detector, since: int) -> tuple[str, ...]:
        """Return sentences on what else happened at that time."""
        traffic = scope("drift", detector.segment)
        stretches = [
            sketch
            for segment in self._display.segments()
            if scope("drift", segment) == traffic
            for sketch in self._display.recent("vitals", segment)
        ]
        scene = Scene(self._swaps.known, self._board.alarms, load_ratio(stretches, since))
        return coincidences(signal_of(detector.monitor), detector.segment, since, scene)

    # -- what there is to see --------------------------------------------------------------

    def _ledger(self) -> Ledger:
        return account(
            self._producers.counts(),
            self._blocks.progress,
            self._plan.partitions,
            settle_ms=self._plan.settle_ms,
        )

    def view(self) -> MonitorView:
        """Return everything that there is to show, as of the last call."""
        return MonitorView(
            time_ms=self._now_ms,
            started_ms=self._started_ms,
            block_ms=self._plan.block_ms,
            window_ms=self._plan.window_ms,
            segments=self._display.views(),
            verdicts=self._board.verdicts,
            history=self._board.history,
            alerts=self._board.alarms,
            ledger=self._ledger(),
            progress=self._blocks.progress,
            swaps=self._swaps.views(),
            baselines=tuple(
                BaselineInUse(
                    kind=kind,
                    baseline_id=in_use.baseline_id,
                    since_ms=self._since[kind][1],
                    monitors=tuple(sorted(in_use.references)),
                    segments=tuple(sorted({k for one in in_use.references.values() for k in one})),
                )
                for kind, in_use in sorted(self._in_use.items())
            ),
            silences=self._controls.in_force(self._now_ms),
        )


def _by_scope(sketches: Sequence[Sketch]) -> list[Sketch]:
    """Merge the sketches that are tested together."""
    groups: dict[Segment, list[Sketch]] = {}
    for sketch in sketches:
        segment = scope(sketch.kind, sketch.segment)
        moved = msgspec.structs.replace(sketch, segment=segment)
        groups.setdefault(segment, []).append(moved)
    return [reduce(merge_sketches, groups[segment]) for segment in sorted(groups)]


def _read(snapshot: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(snapshot, type=kind)
    except msgspec.DecodeError as error:
        raise MonitorStateError(
            f"the monitor's snapshot cannot be read ({error}): start the monitor under "
            "another group, or with the release that wrote it"
        ) from error


def _activation(record: Record) -> BaselineActivation | None:
    """Return an activation; the baselines' other records are none of the monitor's business."""
    try:
        return decode(record.value, BaselineActivation)
    except DecodeError as error:
        if error.reason == DecodeReason.UNKNOWN_TYPE:
            return None
        raise
