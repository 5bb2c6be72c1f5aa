"""Replays the log: events to sketches, and sketches to verdicts, with other baselines.

Both steps are functions of the records and the settings, so replaying a range of the log twice
gives the same verdicts byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import groupby
from typing import TypeAlias, TypeVar

from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.processor import MonitorProcessor, References
from tidegauge.monitoring.view import MonitorView
from tidegauge.schemas import encode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.operations import BaselineKind
from tidegauge.schemas.topics import SKETCHES
from tidegauge.streaming.extractor import Extractor
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Output, Partition, Record
from tidegauge.streaming.sketching import SketchingProcessor

__all__ = ["ActiveBaselines", "in_order", "replay_events", "replay_sketches"]

E = TypeVar("E", RequestEvent, ResponseEvent)
ActiveBaselines: TypeAlias = Mapping[BaselineKind, tuple[str, References]]

_BATCH_MS = 1_000


def in_order(streams: Iterable[Iterable[Record]]) -> Iterator[Record]:
    """Yield the records of several streams by their timestamps.

    Each stream keeps its own order; records of one timestamp come in the streams' order.
    """
    return merge(*streams, key=lambda record: record.timestamp_ms)


def replay_events(
    extractor: Extractor[E], group: str, settings: SketchSettings, records: Iterable[Record]
) -> Iterator[Record]:
    """Sketch events, and yield the records of ``sketches.v1``.

    Args:
        extractor: Computes the features of each event.
        group: Consumer group in the producers' ids; must not be a running worker's.
        settings: Settings of windows and sketches.
        records: Events of one topic, by their timestamps.
    """
    processor: SketchingProcessor[E] = SketchingProcessor(extractor, group, settings)
    assigned: set[Partition] = set()
    offset = now_ms = 0
    for second, batch in groupby(records, key=lambda record: record.timestamp_ms // _BATCH_MS):
        found = list(batch)
        for partition in sorted({record.partition for record in found} - assigned):
            processor.assign(partition, None)
            assigned.add(partition)
        now_ms = (second + 1) * _BATCH_MS
        outcome = processor.process(found, now_ms)
        yield from _written(outcome.outputs, offset, now_ms)
        offset += len(outcome.outputs)
    # The range has ended: idle partitions close the windows that are still open.
    for later_ms in (now_ms, now_ms + settings.idle_ms + settings.lateness_ms + settings.window_ms):
        for partition in sorted(assigned):
            processor.caught_up(partition, later_ms)
        now_ms = later_ms
    yield from _written(processor.tick(now_ms).outputs, offset, now_ms)


def _written(outputs: Sequence[Output], offset: int, now_ms: int) -> Iterator[Record]:
    for number, output in enumerate(outputs):
        if output.topic is SKETCHES:
            yield Record(
                partition=Partition(SKETCHES.name, 0),
                offset=offset + number,
                value=encode(output.event),
                timestamp_ms=now_ms,
            )


def replay_sketches(
    plan: MonitorPlan,
    baselines: ActiveBaselines,
    records: Iterable[Record],
    publish: Callable[[Output], None],
) -> MonitorView:
    """Test sketches, and publish their verdicts and alerts.

    Args:
        plan: The monitor's settings.
        baselines: Kind -> id and references to test against.
        records: Records of ``sketches.v1``, by their timestamps.
        publish: Called with every verdict and alert, in order.

    Returns:
        The monitor's state at the end.
    """
    monitor = MonitorProcessor(plan)
    for kind, (baseline_id, references) in sorted(baselines.items()):
        monitor.use(kind, baseline_id, references, 0)
    for second, batch in groupby(records, key=lambda record: record.timestamp_ms // _BATCH_MS):
        outcome = monitor.process(list(batch), (second + 1) * _BATCH_MS)
        for output in outcome.outputs:
            publish(output)
    return monitor.view()
