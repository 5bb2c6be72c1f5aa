"""What every consumer loop does between reading and writing, without either.

The loop over Kafka and the one over the in-memory log are shells around a ``Worker``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from tidegauge.streaming.checkpoints import Checkpoint, EncodedRecord, without_pending
from tidegauge.streaming.commits import (
    Commit,
    CommitPolicy,
    RejectionGauge,
    dead_letter,
    encode_output,
)
from tidegauge.streaming.processor import (
    CaughtUp,
    Partition,
    ProcessingResult,
    Processor,
    Record,
    Rejection,
    Rejects,
)

__all__ = ["Worker"]


class Worker:
    """A processor with its partitions, and what has come of them since the last commit.

    After a commit that failed, or may have failed, nothing here is true any more: the loop
    revokes each partition and assigns it again from the log.

    Args:
        processor: What is done with records.
        group: The consumer group.
        policy: When to commit, and when to give up.
    """

    def __init__(self, processor: Processor, group: str, policy: CommitPolicy) -> None:
        self.group = group
        self._processor = processor
        self._policy = policy
        self._gauge = RejectionGauge(policy)
        self._next: dict[Partition, int] = {}
        self._committed: dict[Partition, Checkpoint | None] = {}
        self._outputs: dict[Partition, list[EncodedRecord]] = defaultdict(list)
        self._records = 0
        self._changed_ms: int | None = None

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """Partitions that are assigned."""
        return tuple(self._committed)

    def owner(self, partition: Partition) -> str:
        """Return the key of a partition's state."""
        return f"{self.group}/{partition}"

    def assign(self, partition: Partition, document: Checkpoint | None, position: int) -> None:
        """Take over a partition from its last document.

        Args:
            partition: The partition.
            document: Its state; the loop has published what was pending in it.
            position: Offset that the loop will read first.

        Raises:
            SnapshotError: The processor cannot go on from it.
        """
        self._processor.assign(partition, document.state if document else None)
        self._committed[partition] = document
        self._next[partition] = position

    def revoke(self, partition: Partition) -> None:
        """Forget a partition and what came of it since the last commit."""
        del self._committed[partition]
        del self._next[partition]
        self._outputs.pop(partition, None)
        self._processor.revoke(partition)

    def process(self, records: Sequence[Record], now_ms: int) -> None:
        """Process records.

        Raises:
            MeasureError: Nothing has changed; the same records may be given again.
            DeadLetterRateError: Too many were rejected; stop without a commit.
            Exception: Anything else that the processor raises; stop without a commit.
        """
        self._account(records, self._processor.process(records, now_ms), now_ms)

    def reject(self, record: Record, reason: str, detail: str, now_ms: int) -> None:
        """Put a record aside that the processor failed on.

        Raises:
            DeadLetterRateError: Too many were rejected; stop without a commit.
        """
        if isinstance(self._processor, Rejects):
            outcome = self._processor.reject(record, reason, detail)
        else:
            outcome = ProcessingResult(rejections=(Rejection(record, reason, detail),))
        self._account([record], outcome, now_ms)

    def _account(self, records: Sequence[Record], outcome: ProcessingResult, now_ms: int) -> None:
        for record in records:
            self._next[record.partition] = record.offset + 1
        self._records += len(records)
        self._keep(outcome, now_ms)
        if records and self._changed_ms is None:
            self._changed_ms = now_ms
        self._gauge.observe(len(records), outcome.rejections)

    def tick(self, now_ms: int) -> None:
        """Let time pass."""
        self._keep(self._processor.tick(now_ms), now_ms)

    def caught_up(self, partition: Partition, now_ms: int) -> None:
        """Note that at this time the log held nothing more in a partition."""
        if isinstance(self._processor, CaughtUp):
            self._processor.caught_up(partition, now_ms)

    def position(self, partition: Partition) -> int:
        """Return the first offset that was not processed."""
        return self._next[partition]

    def _keep(self, outcome: ProcessingResult, now_ms: int) -> None:
        owners = {self.owner(partition): partition for partition in self._committed}
        letters = [dead_letter(rejected, self.group, now_ms) for rejected in outcome.rejections]
        for output in (*outcome.outputs, *letters):
            # What bears no partition's name goes with the first: it must go with some state.
            partition = owners.get(output.source) or min(self._committed)
            self._outputs[partition].append(encode_output(output))
        if (outcome.outputs or letters) and self._changed_ms is None:
            self._changed_ms = now_ms

    def due(self, now_ms: int) -> bool:
        """Whether there is something to commit, and it is time."""
        if self._changed_ms is None:
            return False
        return self._policy.due(records=self._records, waiting_ms=now_ms - self._changed_ms)

    @property
    def dirty(self) -> bool:
        """Whether there is something to commit."""
        return self._changed_ms is not None

    def commit(self) -> Commit:
        """Return what is to become true; ``committed`` says that it has."""
        documents: dict[Partition, Checkpoint] = {}
        for partition, before in self._committed.items():
            document = Checkpoint(
                owner=self.owner(partition),
                generation=before.generation + 1 if before else 1,
                next_offset=self._next[partition],
                state=self._processor.snapshot(partition),
                pending=tuple(self._outputs.get(partition, ())),
            )
            if _says_more(document, before):
                documents[partition] = document
        return Commit(self.group, documents)

    def committed(self, commit: Commit) -> None:
        """Note that a commit has become true."""
        self._committed.update(commit.documents)
        self._outputs.clear()
        self._records = 0
        self._changed_ms = None

    def settle(self, partition: Partition) -> Checkpoint | None:
        """Return a partition's last document without its outputs, which are published now.

        Whoever takes the partition over then has nothing to publish again. None where there
        was nothing pending.
        """
        last = self._committed[partition]
        if last is None or not last.pending:
            return None
        document = self._committed[partition] = without_pending(
            last, generation=last.generation + 1
        )
        return document


def _says_more(document: Checkpoint, before: Checkpoint | None) -> bool:
    if before is None or document.pending:
        return True
    return (document.state, document.next_offset) != (before.state, before.next_offset)
