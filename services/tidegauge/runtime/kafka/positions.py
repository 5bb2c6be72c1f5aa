"""Where the log and a worker are in each partition, asked of the broker with a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from kafka import KafkaConsumer, OffsetAndMetadata

from tidegauge.reports.formatting import duration
from tidegauge.runtime.kafka import clients
from tidegauge.runtime.kafka.errors import ClientHungError, LogError
from tidegauge.runtime.kafka.serial_executor import SerialExecutor
from tidegauge.runtime.kafka.state_recovery import CommittedOffset
from tidegauge.streaming.checkpoints import Checkpoint
from tidegauge.streaming.processor import Jump, Partition

__all__ = ["Lag", "Positions"]

R = TypeVar("R")

_ANSWER_SECONDS = 15.0
_END_OFFSETS_MS = 2_000
_OFFSET_MS = 1_000
_MOST_TICKS_WITHOUT_RECORDS = 10


@dataclass(frozen=True, slots=True)
class Lag:
    """What a worker has not read of a partition.

    Attributes:
        records: Records that it may read.
        hidden: Records behind the start of an open transaction, which it may not read yet.
    """

    records: int
    hidden: int


class Positions:
    """Asks the broker for offsets and topic ids; all calls but those of ``close`` may block.

    Args:
        consumer: The worker's consumer.
        group: The consumer group.
    """

    def __init__(self, consumer: KafkaConsumer, group: str) -> None:
        self._consumer = consumer
        self._questions = SerialExecutor(f"{group}-questions")
        self._waiting: dict[Partition, tuple[int, int]] = {}

    def committed(self, partition: Partition) -> CommittedOffset | None:
        """Return the group's committed offset.

        Raises:
            KafkaTimeoutError: An open transaction hides it.
            ClientHungError: See ``_ask``.
        """
        place = clients.topic_partition(partition)
        found: OffsetAndMetadata | None = self._ask(
            lambda: self._consumer.committed(place, metadata=True, timeout_ms=_OFFSET_MS)
        )
        if found is None:
            return None
        metadata = found.metadata or ""
        return CommittedOffset(found.offset, int(metadata) if metadata.isdecimal() else 0)

    def first(self, partition: Partition) -> int:
        """Return the offset of the first record that the log holds.

        Raises:
            KafkaError: The broker does not answer.
            ClientHungError: See ``_ask``.
        """
        place = clients.topic_partition(partition)
        found: dict[object, int] = self._ask(
            lambda: self._consumer.beginning_offsets([place], timeout_ms=clients.REQUEST_MS)
        )
        return found[place]

    def topic_id(self, topic: str) -> str:
        """Return the broker's id of a topic as of the last metadata, empty where it has none."""
        found = self._consumer._cluster.topic_id(topic)  # noqa: SLF001 - not public elsewhere
        return str(found) if found else ""

    def jump(self, partition: Partition, checkpoint: Checkpoint) -> Jump | None:
        """Return where to go on in a topic that is another one than the checkpoint's, else None.

        Raises:
            KafkaError: The broker does not answer.
            ClientHungError: See ``_ask``.
        """
        topic_id = self.topic_id(partition.topic)
        if not topic_id or checkpoint.topic_id in {"", topic_id}:
            return None
        return Jump(self.first(partition), remade=True)

    def jump_from(self, partition: Partition, offset: int) -> Jump:
        """Return where to go on instead of at an offset that the log does not hold.

        Raises:
            KafkaError: The broker does not answer.
            ClientHungError: See ``_ask``.
        """
        first = self.first(partition)
        if first > offset:
            return Jump(first, expired=first - offset)
        return Jump(first, remade=True)

    def lags(self, partitions: Iterable[Partition]) -> dict[Partition, Lag]:
        """Return what is unread of each partition, which is read and not only fetched so far.

        Raises:
            KafkaError: The broker does not answer.
            ClientHungError: See ``_ask``.
            LogError: A partition has records and none has come for a while, as after a
                broker's death.
        """
        places = [clients.topic_partition(partition) for partition in partitions]
        ends = self._ask(lambda: self._consumer.end_offsets(places, timeout_ms=_END_OFFSETS_MS))
        positions = self._ask(
            lambda: {place: self._consumer.position(place, timeout_ms=0) or 0 for place in places}
        )
        lags = {}
        for place in places:
            # For a reader of committed records the end is where the first open transaction began.
            reached = max(ends[place], positions[place])
            hidden = (self._consumer.highwater(place) or 0) - reached
            records = max(ends[place] - positions[place], 0)
            lags[clients.partition_of(place)] = Lag(records, max(hidden, 0))
        self._check_that_reading_goes_on(
            {clients.partition_of(place): position for place, position in positions.items()}, lags
        )
        return lags

    def _check_that_reading_goes_on(
        self, positions: dict[Partition, int], lags: dict[Partition, Lag]
    ) -> None:
        before, self._waiting = self._waiting, {}
        for partition, lag in lags.items():
            if not lag.records:
                continue
            position = positions[partition]
            stood, ticks = before.get(partition, (position, 0))
            self._waiting[partition] = (position, ticks + 1 if stood == position else 0)
            if self._waiting[partition][1] > _MOST_TICKS_WITHOUT_RECORDS:
                raise LogError(
                    f"{lag.records} records of {partition} are not being fetched: connecting anew"
                )

    def _ask(self, question: Callable[[], R]) -> R:
        """Query the broker with a deadline: kafka-python may lose a call when the broker dies.

        Raises:
            ClientHungError: The call did not return; the connection cannot be used any longer.
        """
        try:
            return self._questions.submit(question).result(_ANSWER_SECONDS)
        except TimeoutError as error:
            raise ClientHungError(
                f"no answer and no error for {duration(_ANSWER_SECONDS)}: connecting anew"
            ) from error

    def close(self) -> None:
        """Drop what hangs."""
        self._questions.close(0)
