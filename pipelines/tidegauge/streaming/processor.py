"""The processor contract of workers: records in, outputs and dead letters out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from tidegauge.schemas import Event, Topic

__all__ = [
    "NOTHING",
    "CaughtUp",
    "Jump",
    "Jumps",
    "Output",
    "Partition",
    "ProcessingResult",
    "Processor",
    "Record",
    "Rejection",
    "Rejects",
]


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One partition of one topic."""

    topic: str
    index: int

    def __str__(self) -> str:
        """Return ``topic-index``."""
        return f"{self.topic}-{self.index}"


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was read from the log.

    Attributes:
        partition: The partition.
        offset: Its place in it.
        value: Its bytes.
        key: Its key, if any.
        headers: Its headers.
        timestamp_ms: Its timestamp, Unix milliseconds; 0 if unknown.
        producer_time: Whether the timestamp is the producer's (``CreateTime``), and not the
            broker's.
        unreadable: Why the client could not unpack it, with those before it in its batch;
            empty for a record that it could.
    """

    partition: Partition
    offset: int
    value: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_ms: int = 0
    producer_time: bool = False
    unreadable: str = ""

    @property
    def is_tombstone(self) -> bool:
        """Whether the record only says that those before it with its key are erased."""
        return not self.value and self.key is not None and not self.unreadable


@dataclass(frozen=True, slots=True)
class Output:
    """An event to publish.

    Attributes:
        topic: The topic to publish to.
        key: The record's key.
        event: The event.
        source: The CloudEvents source.
        event_id: The CloudEvents id; the same if the output is published again.
        time_ms: Event time.
    """

    topic: Topic
    key: str
    event: Event
    source: str
    event_id: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot be processed, with its reason: it becomes a dead letter."""

    record: Record
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class ProcessingResult:
    """Outputs and rejections of some records, or of a tick."""

    outputs: tuple[Output, ...] = ()
    rejections: tuple[Rejection, ...] = ()

    def __add__(self, other: ProcessingResult) -> ProcessingResult:
        """Return the outputs and rejections of both, in order."""
        return ProcessingResult(self.outputs + other.outputs, self.rejections + other.rejections)


NOTHING = ProcessingResult()


class Processor(Protocol):
    """A stateful step over records; state is per partition, so that it can move between workers.

    The loop guarantees: ``assign`` comes before a partition's first record; calls never
    overlap; results, snapshots and offsets are committed together; after a crash the records
    since the last commit are passed again, to a processor with the last snapshot.
    """

    def assign(self, partition: Partition, snapshot: bytes | None) -> None:
        """Take over a partition from its last snapshot; None for a partition without one."""

    def revoke(self, partition: Partition) -> None:
        """Drop a partition; its last snapshot has been committed."""

    def process(self, records: Sequence[Record], now_ms: int) -> ProcessingResult:
        """Process records, in order within each partition."""

    def tick(self, now_ms: int) -> ProcessingResult:
        """Advance the clock: close windows, report progress. Called about once a second."""

    def snapshot(self, partition: Partition) -> bytes:
        """Return a partition's whole state as plain, versioned data."""


@runtime_checkable
class CaughtUp(Protocol):
    """A processor that is notified when the broker has no further records of a partition."""

    def caught_up(self, partition: Partition, now_ms: int) -> None:
        """Note that at ``now_ms`` every record of the partition had been processed."""


@dataclass(frozen=True, slots=True)
class Jump:
    """A jump to another offset of a partition, since the log does not hold the next one.

    Attributes:
        position: Offset of the first record that is there.
        expired: Records before it that the log has deleted before they were read.
        remade: Whether the topic has been deleted and created again: its offsets begin anew,
            and how many of the old topic's records were not read is unknown.
    """

    position: int
    expired: int = 0
    remade: bool = False


@runtime_checkable
class Jumps(Protocol):
    """A processor that is notified when reading goes on at another offset than the next one."""

    def jumped(self, partition: Partition, jump: Jump) -> None:
        """Go on at another offset, and count what was missed."""


@runtime_checkable
class Rejects(Protocol):
    """A processor that can count a record that it failed on as a dead letter."""

    def reject(self, record: Record, reason: str, detail: str, now_ms: int) -> ProcessingResult:
        """Count a record as a dead letter without processing it."""
