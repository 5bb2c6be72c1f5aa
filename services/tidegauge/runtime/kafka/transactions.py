"""A probe of whether a broker's transactions hide aborted records."""

from __future__ import annotations

from contextlib import closing
from uuid import uuid4

from tidegauge.runtime.kafka import clients, reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import encode
from tidegauge.schemas.operations import Snapshot
from tidegauge.schemas.topics import STATE
from tidegauge.streaming.processor import Partition

__all__ = ["transactions_hide_aborts"]


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
