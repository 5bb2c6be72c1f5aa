"""The last state of each partition, as it lies in the state topic."""

from __future__ import annotations

from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode, encode
from tidegauge.schemas.operations import Snapshot
from tidegauge.schemas.topics import STATE
from tidegauge.streaming.checkpoints import Checkpoint, EncodedRecord, assemble, parts
from tidegauge.streaming.processor import Record

__all__ = ["StateReader", "as_wires"]


def as_wires(document: Checkpoint) -> list[EncodedRecord]:
    """Return a document as the records to write, in their order."""
    return [
        EncodedRecord(topic=STATE.name, key=key.encode(), value=encode(snapshot))
        for key, snapshot in parts(document)
    ]


class StateReader:
    """Knows the last states of one group.

    Args:
        settings: How to reach Kafka.
        group: The consumer group; states of others are skipped.
    """

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        self._settings = settings
        self._prefix = f"{group}/".encode()
        self._latest: dict[str, Snapshot] = {}

    def document(self, owner: str) -> Checkpoint | None:
        """Return an owner's last document, as of ``refresh``.

        Raises:
            SnapshotError: It cannot be put together.
        """
        return assemble(owner, self._latest)

    def refresh(self) -> None:
        """Read the topic from its beginning to its end.

        Raises:
            LogError: The broker does not answer, or there is no such topic.
        """
        self._latest.clear()
        for record in reader.read(self._settings, STATE):
            self._take(record)

    def _take(self, record: Record) -> None:
        if record.key is None or not record.key.startswith(self._prefix):
            return
        try:
            snapshot = decode(record.value, Snapshot)
        except DecodeError:
            return  # a tombstone
        self._latest[record.key.decode(errors="replace")] = snapshot
