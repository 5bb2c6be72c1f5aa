"""Where the log and a worker are in each partition, asked of the broker with a deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from kafka import KafkaConsumer, OffsetAndMetadata

from tidegauge.reports.formatting import duration
from tidegauge.runtime.kafka import clients
from tidegauge.runtime.kafka.errors import ClientHungError, LogError
from tidegauge.runtime.kafka.serial_executor import SerialExecutor
from tidegauge.runtime.kafka.state_recovery import CommittedOffset
from tidegauge.schemas.sketches import RecordPlace
from tidegauge.streaming.checkpoints import LastRecord, TopicIdentity
from tidegauge.streaming.processor import Jump, Partition, Record

__all__ = ["Lag", "Positions"]

R = TypeVar("R")
ReadAt = Callable[[Iterable[RecordPlace]], Mapping[RecordPlace, Record | None]]

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
        read_at: Returns single records, None for those that the log does not hold; those that it
            did not come to are left out.
    """

    def __init__(self, consumer: KafkaConsumer, group: str, read_at: ReadAt) -> None:
        self._consumer = consumer
        self._read_at = read_at
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
        return str(found) if found and found.int else ""

    def jumps_by_id(self, known: Mapping[Partition, TopicIdentity]) -> dict[Partition, Jump]:
        """Return where to go on in topics that are others than the known ones, by their ids.

        Raises:
            KafkaError: The broker does not answer.
            ClientHungError: See ``_ask``.
        """
        return {
            partition: Jump(self.first(partition), remade=True)
            for partition, identity in known.items()
            if identity.topic_id and self.topic_id(partition.topic) not in {"", identity.topic_id}
        }

    def jumps_by_record(self, known: Mapping[Partition, TopicIdentity]) -> dict[Partition, Jump]:
        """Return where to go on in topics that are others than the known ones, without ids.

        Where an id is missing, a topic is another one if another record lies in the place of the
        last one that was processed.

        Raises:
            KafkaError: The broker does not answer.
            LogError: The same.
            ClientHungError: See ``_ask``.
        """
        lasts: dict[RecordPlace, tuple[Partition, LastRecord]] = {}
        for partition, identity in known.items():
            by_id = identity.topic_id and self.topic_id(partition.topic)
            if identity.last is not None and not by_id:
                place = RecordPlace(partition.topic, partition.index, identity.last.offset)
                lasts[place] = partition, identity.last
        found = self._read_at(lasts) if lasts else {}
        return {
            partition: Jump(self.first(partition), remade=True)
            for place, (partition, last) in lasts.items()
            if (record := found.get(place)) is not None and LastRecord.of(record) != last
        }

    def jump_from(self, partition: Partition, offset: int) -> Jump:
        """Return where to go on instead of at an offset that the log does not hold.

        Raises:
            KafkaError: The broker does not answer.
            ClientHungError: See ``_ask``.
        """
        first = self.first(partition)
        if first > offset:
            return Jump(first, expired=first - offset)
        self._ask(self._consumer.topics)  # the metadata may still have the id of the old topic
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
