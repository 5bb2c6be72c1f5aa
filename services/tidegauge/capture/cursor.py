"""The cursor in one run's outbox: what comes next, what has arrived, what was counted."""

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
from tidegauge.capture.reader import OutboxReader
from tidegauge.capture.runs import Lock, Position, Run, load_position, save_position
from tidegauge.schemas.codec import cloud_event_headers, encode
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.topics import HEARTBEATS, RESPONSES

__all__ = ["OutboxCursor", "heartbeat_of"]

_log = logging.getLogger(__name__)


class OutboxCursor:
    """A run that this process ships.

    Args:
        run: Which run.
        lock: Proof that no other process ships it; released by ``release`` and ``finish``.
        builder: Builds batches of what lies in it.
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
        """Whether the run has ended: nothing is appended any more."""
        self.exhausted = False
        """Whether, besides, everything has been read."""

    def next_batch(self, max_bytes: int) -> Batch | None:
        """Read the next events; after None, ``exhausted`` says whether more may come.

        Raises:
            OSError: The disk fails.
            OutboxFormatError: Something in it is of a later version.
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
        """Count a batch that the broker has, or has refused in part.

        Args:
            batch: Which.
            accepted: For each of its records whether the broker has it.
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
        """Keep the position, then delete the segments before it."""
        if self._position == self._saved:
            return
        done = [first for first in self.run.segments() if first < self._position.place.segment]
        try:
            save_position(self.run.position, self._position)
        except OSError as error:
            # On a full disk the room has to come from what is shipped already.
            _log.warning("%s: the position was not saved (%s)", self.run.producer_id, error)
            if not done:
                return
        else:
            self._saved = self._position
        for first in done:
            self.run.segment(first).unlink(missing_ok=True)

    def sync(self) -> None:
        """Force what has been appended to the disk.

        The write buffer comes first: what leaves it meanwhile is in a segment that comes after.
        """
        _force(self.run.buffer)
        for first in self.run.segments():
            if first >= self._synced and _force(self.run.segment(first)):
                self._synced = first

    def heartbeat(self, now_ms: int) -> ProducerRecord:
        """Return the run's counts as a record; final ones once everything has been shipped."""
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
        """Delete the run, which has been shipped whole."""
        self._reader.close()
        self.run.remove()
        self._lock.release()

    def release(self) -> None:
        """Leave the run to another shipper."""
        self.save()
        self._reader.close()
        self._lock.release()


def _force(path: Path) -> bool:
    """Force a file to the disk; False if it is gone."""
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
    """Return drops by topic and reason with further ones, each by its topic and reason."""
    total = {topic: dict(reasons) for topic, reasons in dropped.items()}
    for topic, reason in lost:
        reasons = total.setdefault(topic, {})
        reasons[reason] = reasons.get(reason, 0) + 1
    return total


def heartbeat_of(
    producer_id: str, time_ms: int, counts: Counts | None, position: Position, *, final: bool
) -> Heartbeat:
    """Bring together what was counted while capturing and while shipping.

    An event that was captured and then turned out to be unreadable, or that could not be made
    or is refused by the broker, counts as dropped. What is unreadable is known at the end of
    the run: it is what was captured and neither shipped nor dropped since. A run whose counters
    are lost has captured what was read, and served as many requests as it has responses.

    Args:
        producer_id: The run.
        time_ms: Now.
        counts: What the run has counted; None if that is lost.
        position: What has been shipped.
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
        captured=dict(sorted(captured.items())),
        dropped={topic: dict(reasons) for topic, reasons in dropped.items()},
        shipped=dict(position.shipped),
        final=final,
    )
