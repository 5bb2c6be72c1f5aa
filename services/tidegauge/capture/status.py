"""The state of the runs in an outbox folder, read without disturbing their writers or shippers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from tidegauge.capture.counters import CountersReader, Counts, Drop, counts_of
from tidegauge.capture.errors import OutboxFormatError
from tidegauge.capture.runs import Position, Run, list_runs, load_position
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.topics import RESPONSES

__all__ = ["RunStatus", "heartbeat_of", "status"]


class RunStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The current state of a run, read from its files.

    Attributes:
        producer_id: The run's producer id.
        over: Whether the process that captured has ended.
        bytes: Size of the run's segments on the disk.
        served: Requests answered.
        captured: Events appended, by topic.
        dropped: Events that could not be appended, by topic and reason.
        shipped: Events that the broker has acknowledged, by topic; at most a second old.
        waiting: Captured events that are neither shipped nor dropped yet.
    """

    producer_id: str
    over: bool
    bytes: int
    served: int
    captured: dict[str, int]
    dropped: dict[str, dict[str, int]]
    shipped: dict[str, int]
    waiting: int


def status(directory: Path) -> list[RunStatus]:
    """Return the status of the folder's runs, oldest first by name."""
    return [_status(run) for run in list_runs(directory)]


def _status(run: Run) -> RunStatus:
    counts, position = _counts(run), load_position(run.position)
    return RunStatus(
        producer_id=run.producer_id,
        over=run.is_over(),
        bytes=run.usage_bytes(),
        served=counts.served,
        captured=counts.captured,
        dropped=counts.dropped,
        shipped=position.shipped,
        waiting=max(0, sum(counts.captured.values()) - position.handled().total()),
    )


def _counts(run: Run) -> Counts:
    try:
        with CountersReader(run.counters) as counters:
            return counts_of(counters.read())
    except (OSError, OutboxFormatError):
        return Counts()


def heartbeat_of(
    producer_id: str, time_ms: int, counts: Counts | None, position: Position, *, final: bool
) -> Heartbeat:
    """Return the heartbeat that combines the counts of the recorder and of the shipper.

    A captured event counts as dropped if it is unreadable, cannot be expanded or is rejected by
    the broker. The number of unreadable events is known at the end of the run: they are those
    that were captured and neither shipped nor dropped since. If a run's counters are lost, its
    captured events are those that were read, and its served requests are its responses.

    Args:
        producer_id: The run's producer id.
        time_ms: The time of the heartbeat, Unix milliseconds.
        counts: The run's counts; None if they are lost.
        position: How far the run has been shipped.
        final: Whether the run is over and everything has been shipped.
    """
    handled = position.handled()
    if counts is None:
        counts = Counts(served=handled[RESPONSES.name], captured=dict(handled))
    dropped = {topic: Counter(reasons) for topic, reasons in counts.dropped.items()}
    captured: dict[str, int] = {}
    for topic in {*counts.captured, *handled}:
        appended = max(counts.captured.get(topic, 0), handled[topic])
        lost = Counter(position.dropped.get(topic, {}))
        if final and appended > handled[topic]:
            lost[Drop.DAMAGED.value] += appended - handled[topic]
        captured[topic] = appended - lost.total()
        if lost:
            dropped[topic] = dropped.get(topic, Counter()) + lost
    return Heartbeat(
        producer_id=producer_id,
        time_ms=time_ms,
        served=counts.served,
        refused=counts.refused,
        captured=dict(sorted(captured.items())),
        dropped={topic: dict(reasons) for topic, reasons in dropped.items()},
        shipped=dict(position.shipped),
        final=final,
    )
