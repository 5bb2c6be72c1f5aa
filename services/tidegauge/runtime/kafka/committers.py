"""Committers: commits in one transaction, or written ahead.

On a broker whose transactions hide aborted records, outputs, dead letters, checkpoints and
offsets are one transaction (KIP-447): each is visible exactly once, whichever process is killed.

On any other broker a partition's checkpoint is written first, with the outputs that are not yet
published; then the outputs; then the offsets. After a crash in between, the next owner of the
partition publishes the same outputs again, with the same sequence numbers, and readers drop
duplicates.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol
from uuid import uuid4

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import CommitFailedError, KafkaError, KafkaTimeoutError
from kafka.structs import ConsumerGroupMetadata

from tidegauge.reports.formatting import duration
from tidegauge.runtime.kafka import clients
from tidegauge.runtime.kafka.publisher import send_all
from tidegauge.runtime.kafka.serial_executor import SerialExecutor
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.streaming.checkpoints import Checkpoint, encode_checkpoint, without_pending
from tidegauge.streaming.commits import Commit

__all__ = ["Committer", "TransactionalCommitter", "WriteAheadCommitter"]


class Committer(Protocol):
    """Carries out commits; after an error it must be reset before the next one."""

    def commit(
        self, commit: Commit, consumer: KafkaConsumer, membership: ConsumerGroupMetadata
    ) -> None:
        """Write outputs, dead letters, checkpoints and offsets of a commit.

        Args:
            commit: The checkpoints, outputs and offsets to write.
            consumer: A member of the group.
            membership: Its membership when it took over the partitions.

        Raises:
            KafkaError: The outcome is unknown.
        """

    def resume(self, checkpoint: Checkpoint) -> None:
        """Publish the pending outputs in the checkpoint of a partition that was taken over."""

    def write_final(self, checkpoint: Checkpoint) -> None:
        """Write a partition's last checkpoint, without pending outputs, before its handover."""

    def reset(self) -> None:
        """Start a new producer, once the open transaction has been committed or aborted."""

    def close(self) -> None:
        """Close the connection; an uncommitted transaction is aborted."""


def _offsets(commit: Commit) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return the group's new offsets, each with the generation of its checkpoint."""
    return {
        clients.topic_partition(partition): OffsetAndMetadata(
            checkpoint.next_offset, str(checkpoint.generation), -1
        )
        for partition, checkpoint in commit.checkpoints.items()
    }


class TransactionalCommitter:
    """See the module.

    kafka-python waits for the end of a transaction without a limit, forever if the broker dies
    in between. So transactions run on a thread that can be abandoned.

    Args:
        settings: Connection to Kafka.
        group: The consumer group.
    """

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        self._settings = settings
        self._transactional_id = f"tidegauge-{group}-{uuid4().hex}"
        self._limit_seconds = 2 * settings.transaction_timeout_ms / 1000
        self._connect()

    def _connect(self) -> None:
        self._executor = SerialExecutor("transactions")
        self._producer = clients.producer(
            self._settings,
            transactional_id=self._transactional_id,
            transaction_timeout_ms=self._settings.transaction_timeout_ms,
        )
        self._producer.init_transactions()

    def commit(
        self, commit: Commit, consumer: KafkaConsumer, membership: ConsumerGroupMetadata
    ) -> None:
        """Commit in one transaction, fenced by the membership.

        The consumer's present membership would not be safe: after its removal from the group
        it is empty, and a broker does not fence an empty one; after rejoining it is newer than
        the memberships of others that have held the partitions in between.

        Raises:
            CommitFailedError: The membership is empty.
            KafkaError: The outcome is unknown.
        """
        del consumer
        if membership.generation_id < 0 or not membership.member_id:
            raise CommitFailedError("the partitions were taken over without a membership")
        states = [
            encoded
            for checkpoint in commit.checkpoints.values()
            for encoded in encode_checkpoint(without_pending(checkpoint))
        ]
        offsets = _offsets(commit)
        producer = self._producer

        def transact() -> None:
            producer.begin_transaction()
            # Acknowledged before the end: kafka-python also commits a transaction whose records
            # were refused, for instance after the broker had undone it for its age.
            send_all(producer, (*commit.outputs, *states))
            producer.send_offsets_to_transaction(offsets, membership)
            producer.commit_transaction()

        self._within_limit(transact)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Publish the pending outputs that a worker without transactions left."""
        if not checkpoint.pending:
            return
        producer = self._producer

        def transact() -> None:
            producer.begin_transaction()
            send_all(producer, checkpoint.pending)
            producer.commit_transaction()

        self._within_limit(transact)

    def _within_limit(self, transact: Callable[[], None]) -> None:
        try:
            self._executor.submit(transact).result(self._limit_seconds)
        except TimeoutError as error:
            raise KafkaTimeoutError(
                f"a transaction did not end within {duration(self._limit_seconds)}"
            ) from error

    def write_final(self, checkpoint: Checkpoint) -> None:
        """Do nothing: checkpoints in a transaction have no pending outputs."""

    def reset(self) -> None:
        """Reconnect; the broker ends the open transaction before it answers."""
        self.close()
        self._connect()

    def close(self) -> None:
        """Close without waiting for what has no end."""
        with suppress(KafkaError):
            self._producer.close(timeout=1)
        self._executor.close(0)


class WriteAheadCommitter:
    """See the module.

    Args:
        settings: Connection to Kafka.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer = clients.producer(settings)

    def commit(
        self, commit: Commit, consumer: KafkaConsumer, membership: ConsumerGroupMetadata
    ) -> None:
        """Write checkpoints, then outputs, then offsets."""
        del membership
        for checkpoint in commit.checkpoints.values():
            send_all(self._producer, encode_checkpoint(checkpoint))
        send_all(self._producer, commit.outputs)
        consumer.commit(_offsets(commit))

    def resume(self, checkpoint: Checkpoint) -> None:
        """Publish the pending outputs, which may have been published before."""
        send_all(self._producer, checkpoint.pending)

    def write_final(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint, so that its outputs are not published again."""
        send_all(self._producer, encode_checkpoint(checkpoint))

    def reset(self) -> None:
        """Reconnect: an idempotent producer that lost a record cannot be used any longer."""
        self.close()
        self._producer = clients.producer(self._settings)

    def close(self) -> None:
        """Close without waiting for what has no end."""
        with suppress(KafkaError):
            self._producer.close(timeout=1)
