"""A log in memory, with groups and transactions: the broker of tests that need no real one.

It gives a broker's guarantees and no more: order within a partition, offsets per group, one
member at a time for each partition, and atomic transactions.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Event, RLock

from tidegauge.schemas import ALL_TOPICS, Topic
from tidegauge.schemas.topics import STATE
from tidegauge.streaming.checkpoints import (
    Checkpoint,
    EncodedRecord,
    LatestSnapshots,
    encode_checkpoint,
    without_pending,
)
from tidegauge.streaming.commits import CommitPolicy
from tidegauge.streaming.processor import Jump, Partition, Processor, Record
from tidegauge.streaming.retries import RetryPolicy, process_with_retries
from tidegauge.streaming.worker import Worker

__all__ = ["MemoryLog", "MemoryLoop"]

_BATCH = 500
_RETRY_POLICY = RetryPolicy(first_seconds=0.01, most_seconds=0.05)


class MemoryLog:
    """Topics, group offsets and group members; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._records: dict[Partition, list[Record]] = defaultdict(list)
        self._first: dict[Partition, int] = defaultdict(int)
        self._topics_made: dict[str, int] = defaultdict(int)
        self._offsets: dict[tuple[str, Partition], int] = {}
        self._members: dict[str, list[str]] = defaultdict(list)
        self._holders: dict[tuple[str, Partition], str] = {}

    def partitions(self, topic: str) -> tuple[Partition, ...]:
        """Return a topic's partitions."""
        declared = ALL_TOPICS.get(topic)
        return tuple(Partition(topic, i) for i in range(declared.partitions if declared else 1))

    def append(
        self, encoded: EncodedRecord, *, timestamp_ms: int = 0, partition: int | None = None
    ) -> None:
        """Append a record to the given partition, by default the one of its key's hash."""
        found = self.partitions(encoded.topic)
        index = zlib.crc32(encoded.key) % len(found) if partition is None else partition
        with self._lock:
            records = self._records[found[index]]
            records.append(
                Record(
                    partition=found[index],
                    offset=self._first[found[index]] + len(records),
                    value=encoded.value,
                    key=encoded.key,
                    headers=encoded.headers,
                    timestamp_ms=timestamp_ms,
                )
            )

    def append_all(
        self, encoded_records: Iterable[EncodedRecord], offsets: Mapping[Partition, int], group: str
    ) -> None:
        """Append records and set offsets in one transaction."""
        with self._lock:
            for encoded in encoded_records:
                self.append(encoded)
            self.commit(group, offsets)

    def commit(self, group: str, offsets: Mapping[Partition, int]) -> None:
        """Set a group's offsets."""
        with self._lock:
            for partition, offset in offsets.items():
                self._offsets[group, partition] = offset

    def committed(self, group: str, partition: Partition) -> int | None:
        """Return a group's offset, None before its first commit."""
        with self._lock:
            return self._offsets.get((group, partition))

    def read(self, partition: Partition, offset: int = 0, limit: int | None = None) -> list[Record]:
        """Return a partition's records from an offset on, at most ``limit``."""
        with self._lock:
            start = max(offset - self._first[partition], 0)
            return self._records[partition][start : None if limit is None else start + limit]

    def first(self, partition: Partition) -> int:
        """Return the offset of the first record that the log holds."""
        with self._lock:
            return self._first[partition]

    def end(self, partition: Partition) -> int:
        """Return the offset of the next record to be appended."""
        with self._lock:
            return self._first[partition] + len(self._records[partition])

    def topic_id(self, topic: str) -> str:
        """Return the id of a topic, which another one of the same name does not have."""
        with self._lock:
            return f"{topic}#{self._topics_made[topic]}"

    def expire(self, partition: Partition, until: int) -> None:
        """Delete the records before an offset, as a broker does when their time is over."""
        with self._lock:
            del self._records[partition][: max(until - self._first[partition], 0)]
            self._first[partition] = max(until, self._first[partition])

    def remake(self, topic: str) -> None:
        """Delete a topic and create it again, with no records and no offsets of groups."""
        with self._lock:
            self._topics_made[topic] += 1
            for partition in self.partitions(topic):
                self._records.pop(partition, None)
                self._first.pop(partition, None)
            self._offsets = {
                (group, partition): offset
                for (group, partition), offset in self._offsets.items()
                if partition.topic != topic
            }

    def records(self, topic: Topic) -> list[Record]:
        """Return all records of a topic, partition by partition."""
        return [record for found in self.partitions(topic.name) for record in self.read(found)]

    def join(self, group: str, member: str) -> None:
        """Add a member to a group."""
        with self._lock:
            if member not in self._members[group]:
                self._members[group].append(member)

    def leave(self, group: str, member: str) -> None:
        """Remove a member from a group, as a broker does when its heartbeats stop."""
        with self._lock:
            if member in self._members[group]:
                self._members[group].remove(member)
            self._holders = {
                held: holder
                for held, holder in self._holders.items()
                if (held[0], holder) != (group, member)
            }

    def wanted(self, group: str, member: str, topics: Sequence[str]) -> set[Partition]:
        """Return the partitions that the group assigns to a member at present."""
        with self._lock:
            members = self._members[group]
            every = [partition for topic in topics for partition in self.partitions(topic)]
            turn = members.index(member)
            return {found for i, found in enumerate(every) if i % len(members) == turn}

    def take(self, group: str, member: str, partition: Partition) -> bool:
        """Assign a partition to a member; False while another member holds it."""
        with self._lock:
            return self._holders.setdefault((group, partition), member) == member

    def release(self, group: str, partition: Partition) -> None:
        """Release a partition."""
        with self._lock:
            self._holders.pop((group, partition), None)


class MemoryLoop:
    """Runs a processor over a ``MemoryLog``, as ``ConsumerLoop`` does over Kafka.

    Args:
        log: The log.
        group: The consumer group.
        topics: Topics to read.
        processor: Processes the records.
        now_ms: The clock, Unix milliseconds.
        policy: When to commit.
        member: This member's name in the group.
        transactions: Whether a commit is one transaction; otherwise a checkpoint is written
            before its outputs.
    """

    def __init__(  # noqa: PLR0913 - what a deployment would set, all by name
        self,
        log: MemoryLog,
        group: str,
        topics: Sequence[Topic],
        processor: Processor,
        *,
        now_ms: Callable[[], int],
        policy: CommitPolicy | None = None,
        member: str = "one",
        transactions: bool = True,
    ) -> None:
        self._log = log
        self._group = group
        self._topics = [topic.name for topic in topics]
        self._now_ms = now_ms
        self._policy = policy or CommitPolicy(interval_ms=0)
        self._worker = Worker(processor, group, self._policy)
        self._member = member
        self._transactions = transactions
        self._stop = Event()

    def run(self, stop: Event, *, pause_seconds: float = 0.005) -> None:
        """Step until told to stop, then commit and leave the group."""
        self._stop = stop
        self._log.join(self._group, self._member)
        while not stop.is_set():
            if not self.step():
                stop.wait(pause_seconds)
        self.close()

    def step(self) -> bool:
        """Rebalance, process the available records and commit when due.

        Returns:
            Whether there were records.
        """
        self._log.join(self._group, self._member)
        self._rebalance()
        batch = self._fetch()
        now_ms = self._now_ms()
        if batch:
            self._process(batch)
        for partition in self._worker.partitions:
            if not self._log.read(partition, self._worker.position(partition), 1):
                self._worker.caught_up(partition, now_ms)
        if self._worker.partitions:
            self._worker.tick(now_ms)
        if self._worker.due(now_ms):
            self._commit()
        return bool(batch)

    def close(self) -> None:
        """Commit, hand over every partition and leave the group."""
        self._hand_over(self._worker.partitions)
        self._log.leave(self._group, self._member)

    def _process(self, batch: Sequence[Record]) -> None:
        process_with_retries(
            self._worker,
            batch,
            now_ms=self._now_ms,
            wait=lambda seconds, _error: not self._stop.wait(seconds),
            retry_policy=_RETRY_POLICY,
        )

    def _fetch(self) -> list[Record]:
        batch: list[Record] = []
        for partition in self._worker.partitions:
            self._leave_what_is_gone(partition)
            position = self._worker.position(partition)
            batch += self._log.read(partition, position, _BATCH - len(batch))
        return batch

    def _leave_what_is_gone(self, partition: Partition) -> None:
        position, first = self._worker.position(partition), self._log.first(partition)
        topic_id = self._log.topic_id(partition.topic)
        if topic_id != self._worker.identity(partition).topic_id:
            jump = Jump(first, remade=True)
        elif first > position:
            jump = Jump(first, expired=first - position)
        else:
            return
        self._worker.jump(partition, jump, self._now_ms(), topic_id)

    def _rebalance(self) -> None:
        wanted = self._log.wanted(self._group, self._member, self._topics)
        held = set(self._worker.partitions)
        self._hand_over(tuple(sorted(held - wanted)))
        for partition in sorted(wanted - held):
            if self._log.take(self._group, self._member, partition):
                self._take_over(partition)

    def _take_over(self, partition: Partition) -> None:
        snapshots = LatestSnapshots()
        for record in self._log.read(Partition(STATE.name, 0)):
            snapshots.take(record.key, record.value)
        checkpoint = snapshots.checkpoint(self._worker.owner(partition))
        for encoded in checkpoint.pending if checkpoint else ():
            self._log.append(encoded)
        committed = self._log.committed(self._group, partition)
        start = self._log.first(partition) if committed is None else committed
        position = checkpoint.next_offset if checkpoint else start
        topic_id = checkpoint.topic.topic_id if checkpoint else self._log.topic_id(partition.topic)
        self._worker.assign(partition, checkpoint, position, topic_id)

    def _hand_over(self, partitions: Sequence[Partition]) -> None:
        if not partitions:
            return
        self._commit()
        for partition in partitions:
            checkpoint = self._worker.final_checkpoint(partition)
            if checkpoint and not self._transactions:
                self._write(checkpoint)
            self._worker.revoke(partition)
            self._log.release(self._group, partition)

    def _commit(self) -> None:
        commit = self._worker.commit()
        if self._transactions:
            checkpoints = [
                without_pending(checkpoint) for checkpoint in commit.checkpoints.values()
            ]
            states = [
                encoded for checkpoint in checkpoints for encoded in encode_checkpoint(checkpoint)
            ]
            self._log.append_all([*commit.outputs, *states], commit.offsets, self._group)
        else:
            for checkpoint in commit.checkpoints.values():
                self._write(checkpoint)
                for encoded in checkpoint.pending:
                    self._log.append(encoded)
            self._log.commit(self._group, commit.offsets)
        self._worker.committed(commit)

    def _write(self, checkpoint: Checkpoint) -> None:
        for encoded in encode_checkpoint(checkpoint):
            self._log.append(encoded)
