"""Replays the log: events to sketches, and sketches to verdicts, with other baselines.

Both steps are functions of the records and the settings, so replaying a range of the log twice
gives the same verdicts byte for byte. Each step has a position, from which another process goes
on: what it yields then is what the first one would have yielded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import groupby
from typing import Generic, TypeAlias, TypeVar

import msgspec

from tidegauge.monitoring.monitor_processor import MonitorProcessor, References
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.view import MonitorView
from tidegauge.schemas import encode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.topics import SKETCHES
from tidegauge.streaming.extractor import Extractor
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Output, Partition, Record
from tidegauge.streaming.sketching import SketchingProcessor

__all__ = [
    "ActiveBaselines",
    "EventPosition",
    "EventReplay",
    "SketchPosition",
    "SketchReplay",
    "in_order",
    "replay_sketches",
]

E = TypeVar("E", RequestEvent, ResponseEvent)
ActiveBaselines: TypeAlias = Mapping[BaselineKind, tuple[str, References]]

_BATCH_MS = 1_000
_MONITORED = Partition(SKETCHES.name, 0)


class EventPosition(msgspec.Struct, frozen=True):
    """Where sketching events has got to.

    Attributes:
        offset: Outputs so far.
        now_ms: End of the last second that was sketched.
        partitions: Topic, index and snapshot of each partition, in the order of their first
            records.
    """

    offset: int = 0
    now_ms: int = 0
    partitions: tuple[tuple[str, int, bytes], ...] = ()


class SketchPosition(msgspec.Struct, frozen=True):
    """Where testing sketches has got to.

    Attributes:
        next_offsets: Partition's index -> offset of the next record to test.
        snapshot: The monitor's; empty at the start.
    """

    next_offsets: dict[int, int] = {}
    snapshot: bytes = b""


def in_order(streams: Iterable[Iterable[Record]]) -> Iterator[Record]:
    """Yield the records of several streams by their timestamps.

    Each stream keeps its own order; records of one timestamp come in the streams' order.
    """
    return merge(*streams, key=lambda record: record.timestamp_ms)


class EventReplay(Generic[E]):
    """Sketches the events of one topic.

    Args:
        extractor: Computes the features of each event.
        group: Consumer group in the producers' ids; must not be a running worker's.
        settings: Settings of windows and sketches.
        position: Where to go on.
    """

    def __init__(
        self,
        extractor: Extractor[E],
        group: str,
        settings: SketchSettings,
        position: EventPosition | None = None,
    ) -> None:
        position = position or EventPosition()
        self._settings = settings
        self._processor: SketchingProcessor[E] = SketchingProcessor(extractor, group, settings)
        self._offset, self._now_ms = position.offset, position.now_ms
        self._assigned: list[Partition] = []
        for topic, index, snapshot in position.partitions:
            self._assign(Partition(topic, index), snapshot)

    @property
    def position(self) -> EventPosition:
        """Where it has got to, after each part that ``sketch`` yields."""
        return EventPosition(
            self._offset,
            self._now_ms,
            tuple((p.topic, p.index, self._processor.snapshot(p)) for p in self._assigned),
        )

    def sketch(self, records: Iterable[Record]) -> Iterator[Sequence[Record]]:
        """Yield the sketches of each second, and at last those of the windows still open.

        Args:
            records: Events by their timestamps, from the range's start; those before the
                position are passed over.
        """
        for second, batch in groupby(records, key=_second):
            found = list(batch)
            for partition in sorted({one.partition for one in found}.difference(self._assigned)):
                self._assign(partition, None)
            self._now_ms = max(self._now_ms, (second + 1) * _BATCH_MS)
            yield self._written(self._processor.process(found, (second + 1) * _BATCH_MS).outputs)
        # The range has ended: idle partitions close the windows that are still open.
        settings = self._settings
        idle_ms = settings.idle_ms + settings.lateness_ms + settings.window_ms
        for now_ms in (self._now_ms, self._now_ms + idle_ms):
            for partition in sorted(self._assigned):
                self._processor.caught_up(partition, now_ms)
            self._now_ms = now_ms
        yield self._written(self._processor.tick(self._now_ms).outputs)

    def _assign(self, partition: Partition, snapshot: bytes | None) -> None:
        self._processor.assign(partition, snapshot)
        self._assigned.append(partition)

    def _written(self, outputs: Sequence[Output]) -> Sequence[Record]:
        first, self._offset = self._offset, self._offset + len(outputs)
        return [
            Record(_MONITORED, first + number, encode(output.event), timestamp_ms=self._now_ms)
            for number, output in enumerate(outputs)
            if output.topic is SKETCHES
        ]


class SketchReplay:
    """Tests sketches.

    Args:
        plan: The monitor's settings.
        baselines: Kind -> id and references to test against.
        position: Where to go on.
    """

    def __init__(
        self, plan: MonitorPlan, baselines: ActiveBaselines, position: SketchPosition | None = None
    ) -> None:
        position = position or SketchPosition()
        self._monitor = MonitorProcessor(plan)
        self._first_offsets = position.next_offsets
        self._next_offsets = dict(position.next_offsets)
        if position.snapshot:
            self._monitor.assign(_MONITORED, position.snapshot)
        for kind, (baseline_id, references) in sorted(baselines.items()):
            self._monitor.use(kind, baseline_id, references, 0)

    @property
    def position(self) -> SketchPosition:
        """Where it has got to, after each part that ``test`` yields."""
        return SketchPosition(dict(self._next_offsets), self._monitor.snapshot(_MONITORED))

    def test(self, records: Iterable[Record]) -> Iterator[Sequence[Output]]:
        """Yield the verdicts and alerts of each second.

        Args:
            records: Records of ``sketches.v1`` by their timestamps, from the range's start;
                those before the position are passed over. Streams that do not share their
                offsets have partitions of different index.
        """
        for second, batch in groupby(filter(self._is_new, records), key=_second):
            found = list(batch)
            for record in found:
                self._next_offsets[record.partition.index] = record.offset + 1
            yield self._monitor.process(found, (second + 1) * _BATCH_MS).outputs

    def view(self) -> MonitorView:
        """Return the monitor's state."""
        return self._monitor.view()

    def _is_new(self, record: Record) -> bool:
        return record.offset >= self._first_offsets.get(record.partition.index, 0)


def replay_sketches(
    plan: MonitorPlan,
    baselines: ActiveBaselines,
    records: Iterable[Record],
    publish: Callable[[Output], None],
) -> MonitorView:
    """Test sketches, publish their verdicts and alerts, and return the monitor's last state.

    See ``SketchReplay``; ``publish`` is called with every verdict and alert, in order.
    """
    replay = SketchReplay(plan, baselines)
    for outputs in replay.test(records):
        for output in outputs:
            publish(output)
    return replay.view()


def _second(record: Record) -> int:
    return record.timestamp_ms // _BATCH_MS
