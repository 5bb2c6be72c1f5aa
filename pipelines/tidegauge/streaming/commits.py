"""Commits: when one is due, what it consists of, and how many dead letters stop a worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tidegauge.schemas import cloud_event_headers, encode
from tidegauge.schemas.operations import DeadLetter
from tidegauge.schemas.topics import DEAD_LETTERS
from tidegauge.streaming.checkpoints import Checkpoint, EncodedRecord
from tidegauge.streaming.errors import DeadLetterRateError
from tidegauge.streaming.processor import Output, Partition, Rejection

__all__ = ["Commit", "CommitPolicy", "RejectionGauge", "dead_letter", "encode_output"]

LETTER_BYTES = 640 * 1024
"""Most bytes of a record in its dead letter: in JSON, as base64, it stays below 1 MB."""
KEY_BYTES = 64 * 1024
HEADERS_BYTES = 64 * 1024
DETAIL_CHARACTERS = 2_000


@dataclass(frozen=True, slots=True)
class CommitPolicy:
    """When processed records are committed, and how many dead letters are tolerated.

    Attributes:
        interval_ms: Longest time that a processed record stays uncommitted.
        records: Most records between two commits.
        rejected_ratio: Share of the last ``rejected_window`` records that may become dead
            letters; beyond it the worker stops. 1 never stops it.
        rejected_least: Number of dead letters that never stops the worker, whatever the share.
        rejected_window: See ``rejected_ratio``.
    """

    interval_ms: int = 1_000
    records: int = 5_000
    rejected_ratio: float = 0.1
    rejected_least: int = 50
    rejected_window: int = 1_000

    def due(self, *, records: int, waiting_ms: int) -> bool:
        """Whether to commit now.

        Args:
            records: Records processed since the last commit.
            waiting_ms: Time since the first uncommitted change.
        """
        return records >= self.records or waiting_ms >= self.interval_ms


@dataclass(frozen=True, slots=True)
class Commit:
    """Checkpoints to write, outputs to publish and offsets to commit, all or none.

    Attributes:
        group: The consumer group.
        checkpoints: The new checkpoint of each partition that changed, with the outputs to
            publish (``pending``) and the group's new offset (``next_offset``).
    """

    group: str
    checkpoints: Mapping[Partition, Checkpoint]

    @property
    def offsets(self) -> dict[Partition, int]:
        """The group's offset of each partition that changed."""
        return {partition: found.next_offset for partition, found in self.checkpoints.items()}

    @property
    def outputs(self) -> tuple[EncodedRecord, ...]:
        """The outputs to publish."""
        return tuple(encoded for found in self.checkpoints.values() for encoded in found.pending)


class RejectionGauge:
    """Tracks the share of rejected records among the most recent ones."""

    def __init__(self, policy: CommitPolicy) -> None:
        self._policy = policy
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._rejected = 0

    def observe(self, records: int, rejections: Iterable[Rejection]) -> None:
        """Add a batch's records and rejections to the window.

        Raises:
            DeadLetterRateError: Too many records were rejected.
        """
        found = tuple(rejections)
        self._batches.append((records, len(found)))
        self._records += records
        self._rejected += len(found)
        while self._records - self._batches[0][0] >= self._policy.rejected_window:
            gone, rejected = self._batches.popleft()
            self._records -= gone
            self._rejected -= rejected
        if (
            found
            and self._rejected > self._policy.rejected_least
            and self._rejected > self._policy.rejected_ratio * self._records
        ):
            last = found[-1]
            raise DeadLetterRateError(
                rejected=self._rejected,
                records=self._records,
                limit=self._policy.rejected_ratio,
                last=f"{last.record.partition}@{last.record.offset}: {last.reason}",
            )


def encode_output(output: Output) -> EncodedRecord:
    """Encode an output."""
    return EncodedRecord(
        topic=output.topic.name,
        key=output.key.encode(),
        value=encode(output.event),
        headers=tuple(
            cloud_event_headers(
                event_id=output.event_id,
                kind=type(output.event),
                source=output.source,
                time_ms=output.time_ms,
            )
        ),
    )


def dead_letter(rejection: Rejection, group: str, now_ms: int) -> Output:
    """Return the dead letter of a rejected record, with as much of the record as it holds."""
    record = rejection.record
    place = f"{record.partition}-{record.offset}"
    key = record.key and record.key[:KEY_BYTES]
    headers = tuple(_fitting(record.headers))
    held = sum(map(_size, headers)) + len(key or b"")
    value = record.value[: LETTER_BYTES - held]
    whole = sum(map(_size, record.headers)) + len(record.key or b"") + len(record.value)
    return Output(
        topic=DEAD_LETTERS,
        key=f"{place}\n{group}",
        event=DeadLetter(
            group=group,
            topic=record.partition.topic,
            partition=record.partition.index,
            offset=record.offset,
            time_ms=now_ms,
            reason=rejection.reason,
            detail=rejection.detail[:DETAIL_CHARACTERS],
            value=value,
            key=key,
            headers=headers,
            left_out_bytes=whole - held - len(value),
        ),
        source=f"{group}/{record.partition}",
        event_id=f"{group}/{place}",
        time_ms=now_ms,
    )


def _size(header: tuple[str, bytes]) -> int:
    name, value = header
    return len(name.encode(errors="replace")) + len(value)


def _fitting(headers: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    room = HEADERS_BYTES
    for header in headers:
        room -= _size(header)
        if room < 0:
            return
        yield header
