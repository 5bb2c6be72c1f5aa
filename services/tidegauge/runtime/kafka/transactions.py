"""What a broker makes of transactions: whether it hides aborted records, and ends what is open."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from uuid import uuid4

from kafka import TopicPartition

from tidegauge.runtime.kafka import clients, reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Topic, encode
from tidegauge.schemas.operations import Snapshot
from tidegauge.schemas.sketches import RecordPlace
from tidegauge.schemas.topics import STATE
from tidegauge.streaming.processor import Partition

__all__ = ["stuck_transactions", "transactions_hide_aborts"]

_LOOK_SECONDS = 0.5


def transactions_hide_aborts(settings: KafkaSettings) -> bool:
    """Abort a transaction with a record of no owner, and return whether readers do not see it.

    Raises:
        LogError: The broker does not answer, or refuses transactions.
    """
    key = f"probe/{uuid4().hex}"
    value = encode(Snapshot(owner=key, next_offset=0, state=b""))
    with clients.explained(settings, "trying a transaction"):
        with closing(clients.producer(settings, transactional_id=key)) as producer:
            producer.init_transactions()
            producer.begin_transaction()
            place = producer.send(STATE.name, value, key=key.encode())
            producer.flush()
            written = place.get(clients.REQUEST_MS / 1000)
            producer.abort_transaction()
        with closing(clients.consumer(settings)) as consumer:
            found = clients.topic_partition(Partition(STATE.name, written.partition))
            consumer.assign([found])
            consumer.seek(found, written.offset)
            seen = reader.read_to_end(settings, consumer, [found])
            return all(record.key != key.encode() for record in seen)


def stuck_transactions(
    settings: KafkaSettings, topics: Iterable[Topic], *, seconds: float
) -> tuple[RecordPlace, ...]:
    """Return where transactions began that did not end meanwhile, the first of each partition.

    Readers of committed records see nothing behind them.

    Args:
        settings: Connection to Kafka.
        topics: The topics to look at; those that do not exist are left out.
        seconds: How long a transaction may last. It is waited for only where one is open.

    Raises:
        LogError: The broker does not answer.
    """
    deadline = time.monotonic() + seconds
    with (
        clients.explained(settings, "looking for open transactions"),
        closing(clients.consumer(settings)) as committed,
        closing(clients.consumer(settings, uncommitted=True)) as all_records,
    ):
        places = [
            clients.topic_partition(Partition(topic.name, index))
            for topic in topics
            for index in committed.partitions_for_topic(topic.name) or ()
        ]
        began: dict[TopicPartition, int] = {}
        while places:
            reached = committed.end_offsets(places)
            ends = all_records.end_offsets(places)
            places = [
                place
                for place in places
                if began.setdefault(place, reached[place]) == reached[place] < ends[place]
            ]
            if time.monotonic() > deadline:
                break
            if places:
                time.sleep(_LOOK_SECONDS)
        return tuple(RecordPlace(place.topic, place.partition, began[place]) for place in places)
