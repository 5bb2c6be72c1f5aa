"""The shipper's cursor in one run's outbox: next batch, acknowledged position and counts."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tidegauge.capture.batch import Batch, BatchBuilder
from tidegauge.capture.counters import CountersReader, Counts, Drop, counts_of
from tidegauge.capture.delivery import ProducerRecord
from tidegauge.capture.errors import OutboxFormatError
from tidegauge.capture.outbox_reader import OutboxReader
from tidegauge.capture.runs import Lock, Position, Run, load_position, save_position
from tidegauge.capture.status import heartbeat_of
from tidegauge.schemas.codec import cloud_event_headers, encode
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.topics import HEARTBEATS

__all__ = ["OutboxCursor"]

_log = logging.getLogger(__name__)


class OutboxCursor:
    """A run that this process ships.

    Args:
        run: The run.
        lock: The run's shipper lock; released by ``release`` and ``finish``.
        builder: Builds batches of the run's frames.
    """

    def __init__(self, run: Run, lock: Lock, builder: BatchBuilder) -> None:
        self.run = run
        self._lock = lock
        self._builder = builder
        self._position = load_position(run.position)
        self._saved = self._position
        self._reader = OutboxReader(run, self._position.place, self._position.sequence)
        self._synced = 0
        self._torn_bytes = 0
        self.over = False
        """Whether the run has ended, so that nothing more is appended."""
        self.exhausted = False
        """Whether the run has ended and everything in it has been read."""

    def next_batch(self, max_bytes: int) -> Batch | None:
        """Return the next batch; after None, ``exhausted`` tells whether more may come.

        Raises:
            OSError: The disk fails.
            OutboxFormatError: A file or a record of the run is of a later version.
        """
        self.over = self.over or self.run.is_over()
        entries = self._reader.read(max_bytes, over=self.over)
        self.exhausted = self.over and not entries
        if self._reader.torn_bytes > self._torn_bytes:
            self._torn_bytes = self._reader.torn_bytes
            _log.warning(
                "%s: %d bytes at a segment's end are no whole event and were passed over",
                self.run.producer_id,
                self._torn_bytes,
            )
        return self._builder.build(entries) if entries else None

    def arrived(self, batch: Batch, accepted: Sequence[bool]) -> None:
        """Count a delivered batch and move the position behind it.

        Args:
            batch: The batch.
            accepted: For each of its records whether the broker acknowledged it.
        """
        position = self._position
        shipped = Counter(position.shipped)
        lost = list(batch.lost)
        for record, there in zip(batch.records, accepted, strict=True):
            if there:
                shipped[record.topic] += 1
            else:
                lost.append((record.topic, Drop.REJECTED))
        self._position = Position(
            place=batch.end,
            sequence=batch.sequence,
            shipped=dict(shipped),
            dropped=_added(position.dropped, lost),
            facts=dict(Counter(position.facts) + batch.facts),
        )

    def save(self) -> None:
        """Save the position, then delete the segments before it."""
        if self._position == self._saved:
            return
        done = [first for first in self.run.segments() if first < self._position.place.segment]
        try:
            save_position(self.run.position, self._position)
        except OSError as error:
            # On a full disk, space can only be gained by deleting what has been shipped.
            _log.warning("%s: the position was not saved (%s)", self.run.producer_id, error)
            if not done:
                return
        else:
            self._saved = self._position
        for first in done:
            self.run.segment(first).unlink(missing_ok=True)

    def sync(self) -> None:
        """Force appended frames to the disk.

        The write buffer comes first: bytes that leave it meanwhile go into a segment, and the
        segments are synced after it.
        """
        _force(self.run.buffer)
        for first in self.run.segments():
            if first >= self._synced and _force(self.run.segment(first)):
                self._synced = first

    def heartbeat(self, now_ms: int) -> ProducerRecord:
        """Return the run's heartbeat as a record; it is final once everything has been shipped."""
        event = heartbeat_of(
            self.run.producer_id, now_ms, self._counts(), self._position, final=self.exhausted
        )
        return ProducerRecord(
            topic=HEARTBEATS.name,
            key=event.producer_id.encode(),
            value=encode(event),
            headers=cloud_event_headers(
                event_id=str(now_ms), kind=Heartbeat, source=event.producer_id, time_ms=now_ms
            ),
            time_ms=now_ms,
        )

    def _counts(self) -> Counts | None:
        try:
            with CountersReader(self.run.counters) as counters:
                return counts_of(counters.read())
        except (OSError, OutboxFormatError) as error:
            _log.warning("%s: no counters (%s)", self.run.producer_id, error)
            return None

    def finish(self) -> None:
        """Delete the run after all of it has been shipped."""
        self._reader.close()
        self.run.remove()
        self._lock.release()

    def release(self) -> None:
        """Save the position and release the lock, so that another shipper can take the run over."""
        self.save()
        self._reader.close()
        self._lock.release()


def _force(path: Path) -> bool:
    """Force a file to the disk; False if it does not exist."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)
    return True


def _added(
    dropped: Mapping[str, Mapping[str, int]], lost: Sequence[tuple[str, str]]
) -> dict[str, dict[str, int]]:
    """Return the counts of drops by topic and reason, with further drops added."""
    total = {topic: dict(reasons) for topic, reasons in dropped.items()}
    for topic, reason in lost:
        reasons = total.setdefault(topic, {})
        reasons[reason] = reasons.get(reason, 0) + 1
    return total
