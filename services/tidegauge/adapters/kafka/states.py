"""The last state of each partition, as it lies in the state topic."""

from __future__ import annotations

from kafka import KafkaConsumer, TopicPartition

from tidegauge.adapters.kafka import clients, reader
from tidegauge.adapters.kafka.errors import TopicError
from tidegauge.adapters.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode, encode
from tidegauge.schemas.operations import Snapshot
from tidegauge.schemas.topics import STATE
from tidegauge.stream.documents import Document, Wire, assemble, parts
from tidegauge.stream.processor import Partition

__all__ = ["StateReader", "as_wires"]


def as_wires(document: Document) -> list[Wire]:
    """Return a document as the records to write, in their order."""
    return [
        Wire(topic=STATE.name, key=key.encode(), value=encode(snapshot))
        for key, snapshot in parts(document)
    ]


class StateReader:
    """Follows one group's states, so that a takeover reads only what is new.

    Args:
        settings: How to reach Kafka.
        group: The consumer group; states of others are skipped.
    """

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        self._settings = settings
        self._prefix = f"{group}/".encode()
        self._consumer: KafkaConsumer | None = None
        self._assigned: list[TopicPartition] = []
        self._latest: dict[str, Snapshot] = {}

    def document(self, owner: str) -> Document | None:
        """Return an owner's last document, as of ``refresh``.

        Raises:
            SnapshotError: It cannot be put together.
        """
        return assemble(owner, self._latest)

    def refresh(self) -> None:
        """Read the topic to its end.

        Raises:
            LogError: The broker does not answer, or there is no such topic.
            KafkaError: The same, seen by kafka-python.
        """
        consumer = self._connected()
        for record in reader.read_to_end(self._settings, consumer, self._assigned):
            if record.key is None or not record.key.startswith(self._prefix):
                continue
            try:
                snapshot = decode(record.value, Snapshot)
            except DecodeError:
                continue  # a tombstone, or written by a later release under another key
            self._latest[record.key.decode(errors="replace")] = snapshot

    def _connected(self) -> KafkaConsumer:
        if self._consumer is None:
            consumer = clients.consumer(self._settings)
            known = consumer.partitions_for_topic(STATE.name)
            if not known:
                consumer.close()
                raise TopicError(
                    f"there is no topic {STATE.name} on this broker: run 'tidegauge topics ensure'"
                )
            self._assigned = [
                clients.topic_partition(Partition(STATE.name, index)) for index in sorted(known)
            ]
            consumer.assign(self._assigned)
            consumer.seek_to_beginning(*self._assigned)
            self._consumer = consumer
        return self._consumer

    def reset(self) -> None:
        """Forget what was read: the broker may have forgotten it, too."""
        self.close()
        self._latest.clear()

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
