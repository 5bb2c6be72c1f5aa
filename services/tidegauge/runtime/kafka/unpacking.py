"""Unpacks fetched batches, and goes on after one that cannot be unpacked.

kafka-python raises in the middle of a fetch then, forgets the error while its partitions are
paused, and loops without end when it is polled next. Here a record that stands for the rest of
the batch takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer
from kafka.consumer.fetcher import ConsumerRecord, Fetcher

__all__ = ["NotUnpacked", "tolerate"]


@dataclass(frozen=True, slots=True)
class NotUnpacked:
    """The value of a record that stands for those of a batch that could not be unpacked.

    Attributes:
        error: Why.
        first_offset: The first of them; the last one is the record's own offset.
    """

    error: Exception
    first_offset: int


def tolerate(consumer: KafkaConsumer) -> KafkaConsumer:
    """Let a consumer go on after batches that cannot be unpacked, and return it."""
    consumer._fetcher.PartitionRecords = _Records  # noqa: SLF001 - there is no other way
    return consumer


class _Batches:
    """The batches of a fetch, with the one that was returned last."""

    def __init__(self, records: Any) -> None:  # noqa: ANN401 - kafka-python's MemoryRecords
        self._records = records
        self.last: Any = None

    def next_batch(self) -> Any:  # noqa: ANN401 - kafka-python's own batch
        self.last = None  # an error of reading the next one is none of the last one
        self.last = self._records.next_batch()
        return self.last


class _Records(Fetcher.PartitionRecords):  # type: ignore[misc]  # kafka-python has no types
    """The records of one partition in one fetch.

    Attributes:
        next_fetch_offset: Offset after the last record that was returned.
    """

    next_fetch_offset: int

    def _unpack_records(
        self,
        tp: Any,  # noqa: ANN401 - as inherited
        records: Any,  # noqa: ANN401 - as inherited
        key_deserializer: Any,  # noqa: ANN401 - as inherited
        value_deserializer: Any,  # noqa: ANN401 - as inherited
    ) -> Iterator[Any]:
        batches = _Batches(records)
        while True:
            try:
                yield from super()._unpack_records(
                    tp, batches, key_deserializer, value_deserializer
                )
            except Exception as error:
                batch = batches.last
                if batch is None or batch.next_offset <= self.next_fetch_offset:
                    raise
                first, self.next_fetch_offset = self.next_fetch_offset, batch.next_offset
                yield _standing_for(tp, batch, NotUnpacked(error, first))
            else:
                return


def _standing_for(
    tp: Any,  # noqa: ANN401 - kafka-python's TopicPartition
    batch: Any,  # noqa: ANN401 - kafka-python's own batch
    value: NotUnpacked,
) -> Any:  # noqa: ANN401 - kafka-python's ConsumerRecord
    return ConsumerRecord(
        topic=tp.topic,
        partition=tp.partition,
        leader_epoch=batch.leader_epoch,
        offset=batch.next_offset - 1,
        timestamp=batch.max_timestamp,
        timestamp_type=batch.timestamp_type,
        key=None,
        value=value,
        headers=[],
        checksum=None,
        serialized_key_size=-1,
        serialized_value_size=-1,
        serialized_header_size=-1,
    )
