"""What a consumer keeps between reading and writing: state, counts and offsets; free of IO.

The loop over Kafka and the one over the in-memory log are shells around a ``Worker``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from tidegauge.streaming.checkpoints import (
    Checkpoint,
    EncodedRecord,
    LastRecord,
    TopicIdentity,
    without_pending,
)
from tidegauge.streaming.commits import (
    Commit,
    CommitPolicy,
    RejectionGauge,
    dead_letter,
    encode_output,
)
from tidegauge.streaming.processor import (
    CaughtUp,
    Jump,
    Jumps,
    Partition,
    ProcessingResult,
    Processor,
    Record,
    Rejection,
    Rejects,
)

__all__ = ["Worker"]


class Worker:
    """A processor with its partitions, and their outputs since the last commit.

    After a commit that failed, or may have failed, this state is invalid: the loop revokes each
    partition and assigns it again from its last checkpoint.

    Args:
        processor: Processes the records.
        group: The consumer group.
        policy: When to commit, and how many dead letters stop the worker.
    """

    def __init__(self, processor: Processor, group: str, policy: CommitPolicy) -> None:
        self.group = group
        self._processor = processor
        self._policy = policy
        self._gauge = RejectionGauge(policy)
        self._next: dict[Partition, int] = {}
        self._identities: dict[Partition, TopicIdentity] = {}
        self._committed: dict[Partition, Checkpoint | None] = {}
        self._outputs: dict[Partition, list[EncodedRecord]] = defaultdict(list)
        self._records = 0
        self._changed_ms: int | None = None
        self.rejected: Counter[str] = Counter()
        """Dead letters since the worker began, by reason."""

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """Partitions that are assigned."""
        return tuple(self._committed)

    def owner(self, partition: Partition) -> str:
        """Return the key of a partition's state."""
        return f"{self.group}/{partition}"

    def assign(
        self,
        partition: Partition,
        checkpoint: Checkpoint | None,
        position: int,
        topic_id: str = "",
    ) -> None:
        """Take over a partition from its last checkpoint.

        Args:
            partition: The partition.
            checkpoint: Its state, whose pending outputs the loop has published.
            position: Offset that the loop will read first.
            topic_id: The broker's id of the topic; empty if unknown.

        Raises:
            SnapshotError: The processor cannot restore the checkpoint's state.
        """
        self._processor.assign(partition, checkpoint.state if checkpoint else None)
        self._committed[partition] = checkpoint
        self._next[partition] = position
        last = checkpoint.topic.last if checkpoint else None
        self._identities[partition] = TopicIdentity(topic_id, last)

    def jump(self, partition: Partition, jump: Jump, now_ms: int, topic_id: str = "") -> None:
        """Go on at another offset, since the log does not hold the next record.

        Args:
            partition: The partition.
            jump: Where to go on.
            now_ms: The present, Unix milliseconds.
            topic_id: The broker's id of the topic that is there now; empty if unknown.
        """
        self._next[partition] = jump.position
        self._identities[partition] = TopicIdentity(topic_id)
        if isinstance(self._processor, Jumps):
            self._processor.jumped(partition, jump)
        if self._changed_ms is None:
            self._changed_ms = now_ms

    def revoke(self, partition: Partition) -> None:
        """Forget a partition and its outputs since the last commit."""
        del self._committed[partition]
        del self._next[partition]
        del self._identities[partition]
        self._outputs.pop(partition, None)
        self._processor.revoke(partition)

    def process(self, records: Sequence[Record], now_ms: int) -> None:
        """Process records.

        Raises:
            ExtractionError: The state is unchanged; the same records may be passed again.
            DeadLetterRateError: Too many were rejected; stop without a commit.
            Exception: Any other error of the processor; stop without a commit.
        """
        self._account(records, self._processor.process(records, now_ms), now_ms)

    def reject(self, record: Record, reason: str, detail: str, now_ms: int) -> None:
        """Write a record that the processor failed on as a dead letter.

        Raises:
            DeadLetterRateError: Too many were rejected; stop without a commit.
        """
        if isinstance(self._processor, Rejects):
            outcome = self._processor.reject(record, reason, detail, now_ms)
        else:
            outcome = ProcessingResult(rejections=(Rejection(record, reason, detail),))
        self._account([record], outcome, now_ms)

    def _account(self, records: Sequence[Record], outcome: ProcessingResult, now_ms: int) -> None:
        for partition, last in {record.partition: record for record in records}.items():
            self._next[partition] = last.offset + 1
            self._identities[partition] = TopicIdentity(
                self._identities[partition].topic_id, LastRecord.of(last)
            )
        self._records += len(records)
        self._keep(outcome, now_ms)
        if records and self._changed_ms is None:
            self._changed_ms = now_ms
        self._gauge.observe(len(records), outcome.rejections)

    def tick(self, now_ms: int) -> None:
        """Advance the processor's clock."""
        self._keep(self._processor.tick(now_ms), now_ms)

    def caught_up(self, partition: Partition, now_ms: int) -> None:
        """Tell the processor that the log had no further records of a partition at ``now_ms``."""
        if isinstance(self._processor, CaughtUp):
            self._processor.caught_up(partition, now_ms)

    def position(self, partition: Partition) -> int:
        """Return the first offset that was not processed."""
        return self._next[partition]

    def identity(self, partition: Partition) -> TopicIdentity:
        """Return what tells a partition's topic from another one of the same name."""
        return self._identities[partition]

    def _keep(self, outcome: ProcessingResult, now_ms: int) -> None:
        owners = {self.owner(partition): partition for partition in self._committed}
        self.rejected.update(rejected.reason for rejected in outcome.rejections)
        letters = [dead_letter(rejected, self.group, now_ms) for rejected in outcome.rejections]
        for output in (*outcome.outputs, *letters):
            # An output of no partition is committed with the first partition's checkpoint.
            partition = owners.get(output.source) or min(self._committed)
            self._outputs[partition].append(encode_output(output))
        if (outcome.outputs or letters) and self._changed_ms is None:
            self._changed_ms = now_ms

    def due(self, now_ms: int) -> bool:
        """Whether there are uncommitted changes and the policy's time for a commit has come."""
        if self._changed_ms is None:
            return False
        return self._policy.due(records=self._records, waiting_ms=now_ms - self._changed_ms)

    def commit(self) -> Commit:
        """Return the checkpoints to write, with their outputs; then call ``committed``."""
        checkpoints: dict[Partition, Checkpoint] = {}
        for partition, before in self._committed.items():
            checkpoint = Checkpoint(
                owner=self.owner(partition),
                generation=before.generation + 1 if before else 1,
                next_offset=self._next[partition],
                state=self._processor.snapshot(partition),
                pending=tuple(self._outputs.get(partition, ())),
                topic=self._identities[partition],
            )
            if _differs(checkpoint, before):
                checkpoints[partition] = checkpoint
        return Commit(self.group, checkpoints)

    def committed(self, commit: Commit) -> None:
        """Mark a commit as written."""
        self._committed.update(commit.checkpoints)
        self._outputs.clear()
        self._records = 0
        self._changed_ms = None

    def final_checkpoint(self, partition: Partition) -> Checkpoint | None:
        """Return a partition's last checkpoint without its outputs, which have been published.

        The partition's next owner then has no outputs to publish again.

        Returns:
            None if the last checkpoint has no pending outputs.
        """
        last = self._committed[partition]
        if last is None or not last.pending:
            return None
        checkpoint = self._committed[partition] = without_pending(
            last, generation=last.generation + 1
        )
        return checkpoint


def _differs(checkpoint: Checkpoint, before: Checkpoint | None) -> bool:
    if before is None or checkpoint.pending:
        return True
    return (checkpoint.state, checkpoint.next_offset, checkpoint.topic) != (
        before.state,
        before.next_offset,
        before.topic,
    )
