"""The state of the runs in an outbox folder, read without disturbing their writers or shippers."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tidegauge.capture.counters import CountersReader, Counts, counts_of
from tidegauge.capture.errors import OutboxFormatError
from tidegauge.capture.runs import Run, list_runs, load_position

__all__ = ["RunStatus", "status"]


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
