"""One membership in a consumer group: its partitions, and what is done with their records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from threading import Event
from typing import Any

import structlog
from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, OffsetOutOfRangeError
from kafka.structs import ConsumerGroupMetadata

from tidegauge.reports.formatting import duration
from tidegauge.runtime.kafka import clients, metrics
from tidegauge.runtime.kafka.committers import Committer
from tidegauge.runtime.kafka.errors import ClientHungError, LogError
from tidegauge.runtime.kafka.positions import Positions
from tidegauge.runtime.kafka.serial_executor import SerialExecutor
from tidegauge.runtime.kafka.state_recovery import StateRecovery
from tidegauge.streaming.checkpoints import TopicIdentity
from tidegauge.streaming.commits import CommitPolicy
from tidegauge.streaming.errors import ExtractionError
from tidegauge.streaming.processor import Jump, Partition, Processor, Record
from tidegauge.streaming.retries import RetryPolicy, process_with_retries
from tidegauge.streaming.worker import Worker

__all__ = ["Session"]

_RETRY_SECONDS = (0.2, 15.0)
_RETRY_POLICY = RetryPolicy()
_AWAIT_SECONDS = 0.01
_LOOK_AGAIN_SECONDS = 0.5
_SAME_TOPIC_SECONDS = 60.0
"""How often topics without ids are looked at, whether they still are those of before."""

_log = structlog.get_logger(__name__)


class Session(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """The state that the loop's two threads share: the polling thread and the executor's.

    Methods that return a ``Future`` and the rebalance listener's methods run their work on the
    executor; all others belong to the polling thread. The listener runs during a poll, on the
    consumer's own event loop, which it must not block: it awaits the executor.
    """

    def __init__(  # noqa: PLR0913 - parts put together by the loop, all by name
        self,
        *,
        consumer: KafkaConsumer,
        committer: Committer,
        recovery: StateRecovery,
        positions: Positions,
        executor: SerialExecutor,
        processor: Processor,
        group: str,
        policy: CommitPolicy,
        now_ms: Callable[[], int],
        handover_seconds: float,
        takeover_seconds: float,
        stop: Event,
    ) -> None:
        self.joined = False
        self.working = False
        """Whether the last batch was processed, or there was nothing to process."""
        self._consumer = consumer
        self._committer = committer
        self._recovery = recovery
        self._executor = executor
        self._positions = positions
        self._worker = Worker(processor, group, policy)
        self._group = group
        self._now_ms = now_ms
        self._handover_seconds = handover_seconds
        self._takeover_seconds = takeover_seconds
        self._stop = stop
        self._membership = ConsumerGroupMetadata(group)
        self._revoking = Event()
        self._failure: BaseException | None = None
        self._broken = False
        self._unsure = False
        self._answering = True
        self._topics_seen: dict[Partition, TopicIdentity] = {}
        self._topics_seen_at = time.monotonic()
        self._log = _log.bind(group=group)

    # The polling thread.

    def poll(self, timeout_ms: int) -> list[Record]:
        """Return the next batch, every partition paused after it; empty if none came."""
        self._consumer.resume(*self._consumer.assignment())
        batch: dict[TopicPartition, list[Any]] = {}
        try:
            batch = self._polled(timeout_ms)
        except OffsetOutOfRangeError as error:
            (places,) = error.args
            gone = self._executor.submit(
                lambda: self._guarded(lambda: self._leave_what_is_gone(places))
            )
            gone.result()
        self._consumer.pause(*self._consumer.assignment())
        return [clients.record_of(found) for records in batch.values() for found in records]

    def keep_membership(self) -> None:
        """Poll while every partition is paused; new partitions are paused at their takeover."""
        if found := self._polled(0):
            names = ", ".join(str(clients.partition_of(place)) for place in found)
            raise LogError(f"records of {names} came while paused: connecting anew")

    def _polled(self, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        try:
            batch: dict[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms)
        except KafkaError:
            if self._failure is not None:
                raise self._failure from None
            raise
        if self._failure is not None:
            raise self._failure
        return batch

    def process(self, records: Sequence[Record]) -> Future[None]:
        """Process a batch on the executor, and commit when a commit is due."""
        return self._executor.submit(lambda: self._guarded(lambda: self._process(records)))

    def tick(self) -> Future[None]:
        """Run the processor's tick on the executor, and commit when a commit is due."""
        return self._executor.submit(lambda: self._guarded(self._tick))

    def close(self, seconds: float) -> bool:
        """Hand over partitions, leave the group and close every connection, within a time.

        Returns:
            Whether all work has ended; if not, the processor is still in use.
        """
        deadline = time.monotonic() + seconds
        self._handover_seconds = seconds * 0.7
        try:
            self._consumer.close(autocommit=False, timeout_ms=int(seconds * 1_000))
        except KafkaError as error:
            self._log.warning("could not leave the group cleanly", error=str(error))
        self._revoking.set()
        forgotten = self._executor.submit(self._forget)
        self._executor.close(max(deadline - time.monotonic(), 0.1))
        self._committer.close()
        self._positions.close()
        return forgotten.done()

    # The listener, on the consumer's own loop, while the polling thread waits for it.

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Commit and drop the partitions before the rebalance continues."""
        self.joined = False
        self._revoking.set()
        await self._done(
            lambda: self._hand_over(map(clients.partition_of, revoked)), self._handover_seconds
        )

    async def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        """Drop partitions that other members hold already."""
        self.joined = False
        self._revoking.set()
        await self._done(
            lambda: self._lose(map(clients.partition_of, lost)), self._handover_seconds
        )

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Take over the partitions from their last state, before their first record."""
        membership = self._consumer.group_metadata()
        await self._done(
            lambda: self._join(membership, map(clients.partition_of, assigned)),
            self._takeover_seconds,
        )
        self.joined = self._failure is None

    async def _done(self, work: Callable[[], None], seconds: float) -> None:
        future = self._executor.submit(work)
        deadline = time.monotonic() + seconds
        while not future.done():
            if time.monotonic() > deadline:
                self._failure = LogError(
                    f"the {self._group} worker could not change its partitions within "
                    f"{duration(seconds)}: its uncommitted records will be processed again"
                )
                raise self._failure
            await self._consumer._net.sleep(_AWAIT_SECONDS)  # noqa: SLF001 - its loop has no public sleep
        try:
            future.result()
        except BaseException as error:
            # kafka-python replaces what a listener raises; the polling thread raises this.
            self._failure = error
            self._broken = True
            raise

    # The executor's thread.

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException:
            self._broken = True  # nothing of this may be committed
            raise

    def _process(self, records: Sequence[Record]) -> None:
        if left := self._leave_topics_of_other_ids():
            records = [record for record in records if record.partition not in left]
        rejected = self._worker.rejected.copy()
        with metrics.PROCESS_SECONDS.labels(self._group).time():
            done = process_with_retries(
                self._worker,
                records,
                now_ms=self._now_ms,
                wait=self._wait_for_the_extractor,
                retry_policy=_RETRY_POLICY,
            )
        for reason, number in (self._worker.rejected - rejected).items():
            metrics.DEAD_LETTERS.labels(self._group, reason).inc(number)
        if done:
            metrics.RECORDS.labels(self._group).inc(len(records))
            self.working = True
            self._commit_if_due()

    def _wait_for_the_extractor(self, seconds: float, error: ExtractionError) -> bool:
        self.working = False
        self._log.warning("trying again", error=str(error), retry_seconds=seconds)
        metrics.RETRIES.labels(self._group).inc()
        return not self._revoking.wait(seconds)

    def _tick(self) -> None:
        if not self._worker.partitions:
            self.working = True  # a spare member of the group
        if not self._worker.partitions or self._revoking.is_set():
            return
        self._leave_topics_of_other_ids()
        self._leave_topics_of_other_records()
        self._look_for_silence()
        self._worker.tick(self._now_ms())
        self._commit_if_due()

    def _look_for_silence(self) -> None:
        now_ms = self._now_ms()
        try:
            lags = self._positions.lags(self._worker.partitions)
        except KafkaError as error:
            if self._answering:
                self._log.warning("Kafka does not answer", error=str(error))
            self._answering = self.working = False
            return  # without the end offsets no partition may count as read to its end
        if not self._answering:
            self._log.info("Kafka answers again")
        self._answering = True
        if not any(lag.records for lag in lags.values()):
            self.working = True
        for partition, lag in lags.items():
            labels = (self._group, str(partition))
            metrics.LAG_RECORDS.labels(*labels).set(lag.records + lag.hidden)
            metrics.HIDDEN_RECORDS.labels(*labels).set(lag.hidden)
            # What an open transaction hides belongs to windows that must not close before it.
            if not lag.records and not lag.hidden:
                self._worker.caught_up(partition, now_ms)

    def _commit_if_due(self) -> None:
        if self._worker.due(self._now_ms()):
            try:
                self._commit()
            except KafkaError as error:
                if (refusal := clients.refused(error, "a commit")) is not None:
                    raise refusal from error
                self._go_back(error)

    def _commit(self) -> None:
        started = time.monotonic()
        commit = self._worker.commit()
        if commit.checkpoints:
            self._unsure = True
            self._committer.commit(commit, self._consumer, self._membership)
            self._unsure = False
            metrics.COMMITS.labels(self._group).inc()
            metrics.COMMIT_SECONDS.labels(self._group).observe(time.monotonic() - started)
        self._worker.committed(commit)

    def _go_back(self, error: KafkaError) -> None:
        """Return to the last checkpoints, since the outcome of the commit is unknown."""
        self.working = False
        pause = _RETRY_SECONDS[0]
        held = self._worker.partitions
        metrics.RESETS.labels(self._group).inc()
        while not self._revoking.is_set():
            self._log.warning(
                "commit failed, going back to the last state",
                error=f"{type(error).__name__}: {error}",
                retry_seconds=pause,
            )
            if self._revoking.wait(pause):
                return
            try:
                self._forget()
                self._take_over(held)
            except ClientHungError:
                raise
            except (KafkaError, LogError) as again:
                error = again if isinstance(again, KafkaError) else error
                pause = min(2 * pause, _RETRY_SECONDS[1])
            else:
                return

    def _join(self, membership: ConsumerGroupMetadata, partitions: Iterable[Partition]) -> None:
        """Take over partitions; their commits are fenced by this membership, not by a later one."""
        self._revoking.clear()
        self._membership = membership
        self._take_over(partitions)

    def _take_over(self, partitions: Iterable[Partition]) -> None:
        if self._unsure:
            # An open transaction of this worker would hide the worker's own last checkpoints.
            self._committer.reset()
            self._unsure = False
        owners = {partition: self._worker.owner(partition) for partition in sorted(partitions)}
        checkpoints = self._recovery.checkpoints(owners, self._positions.committed, self._pause)
        known = {partition: found.topic for partition, found in checkpoints.items() if found}
        jumps = self._positions.jumps_by_id(known) | self._positions.jumps_by_record(known)
        for partition, checkpoint in checkpoints.items():
            if checkpoint is not None:
                self._committer.resume(checkpoint)
                position = checkpoint.next_offset
            else:
                position = self._positions.first(partition)
            # Paused until the polling thread asks for records: it may only keep the membership.
            self._consumer.pause(clients.topic_partition(partition))
            # Records that were read before may not have been committed: always seek.
            self._seek(partition, position)
            topic_id = self._positions.topic_id(partition.topic)
            self._worker.assign(partition, checkpoint, position, topic_id)
            if partition in jumps:
                self._jump(partition, jumps[partition])
        held = self._worker.partitions
        metrics.ASSIGNED_PARTITIONS.labels(self._group).set(len(held))
        self._log.info("partitions taken over", partitions=[str(found) for found in held])

    def _pause(self) -> bool:
        return not (self._revoking.wait(_LOOK_AGAIN_SECONDS) or self._stop.is_set())

    def _seek(self, partition: Partition, position: int) -> None:
        self._consumer.seek(clients.topic_partition(partition), position)

    def _leave_what_is_gone(self, places: Mapping[TopicPartition, int]) -> None:
        for place, offset in places.items():
            partition = clients.partition_of(place)
            if partition in self._worker.partitions:
                self._jump(partition, self._positions.jump_from(partition, offset))

    def _leave_topics_of_other_ids(self) -> frozenset[Partition]:
        """Begin topics that were made again at their start; return their partitions."""
        held = {found: self._worker.identity(found) for found in self._worker.partitions}
        jumps = self._positions.jumps_by_id(held)
        for partition, jump in jumps.items():
            self._jump(partition, jump)
        return frozenset(jumps)

    def _leave_topics_of_other_records(self) -> None:
        """Do the same where topics have no ids, by what lay in them a while ago."""
        if time.monotonic() - self._topics_seen_at < _SAME_TOPIC_SECONDS:
            return
        for partition, jump in self._positions.jumps_by_record(self._topics_seen).items():
            self._jump(partition, jump)
        held = self._worker.partitions
        self._topics_seen = {partition: self._worker.identity(partition) for partition in held}
        self._topics_seen_at = time.monotonic()

    def _jump(self, partition: Partition, jump: Jump) -> None:
        if jump.remade:
            self._log.error(
                "the topic was deleted and created again, or its cluster replaced: reading it "
                "from its start; what was unread of the old one is lost",
                partition=str(partition),
                wanted=self._worker.position(partition),
                first=jump.position,
            )
        else:
            self._log.error(
                "records expired before this worker read them: lengthen the topic's retention, "
                "or run more workers",
                partition=str(partition),
                expired=jump.expired,
                first=jump.position,
            )
        metrics.EXPIRED.labels(self._group, str(partition)).inc(jump.expired)
        metrics.REMADE.labels(self._group, str(partition)).inc(jump.remade)
        self._seek(partition, jump.position)
        topic_id = self._positions.topic_id(partition.topic)
        self._worker.jump(partition, jump, self._now_ms(), topic_id)
        self._topics_seen.pop(partition, None)

    def _hand_over(self, partitions: Iterable[Partition]) -> None:
        given = [found for found in partitions if found in self._worker.partitions]
        try:
            if not self._broken:
                self._commit()
                self._write_final_checkpoints(given)
        except KafkaError as error:
            self._log.warning(
                "handed over without a commit: the records will be processed again",
                error=f"{type(error).__name__}: {error}",
            )
        finally:
            self._lose(given)

    def _write_final_checkpoints(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            checkpoint = self._worker.final_checkpoint(partition)
            if checkpoint is not None:
                self._committer.write_final(checkpoint)

    def _lose(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            if partition in self._worker.partitions:
                self._worker.revoke(partition)
                self._topics_seen.pop(partition, None)
        metrics.ASSIGNED_PARTITIONS.labels(self._group).set(len(self._worker.partitions))

    def _forget(self) -> None:
        self._lose(self._worker.partitions)
