"""The last checkpoint of each partition in the state topic."""

from __future__ import annotations

from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.topics import STATE
from tidegauge.streaming.checkpoints import Checkpoint, LatestSnapshots

__all__ = ["StateReader"]


class StateReader:
    """Reads the last checkpoints of one group.

    Args:
        settings: Connection to Kafka.
        group: The consumer group; other groups' states are skipped.
    """

    def __init__(self, settings: KafkaSettings, group: str) -> None:
        self._settings = settings
        self._prefix = f"{group}/".encode()
        self._latest = LatestSnapshots()

    def checkpoint(self, owner: str) -> Checkpoint | None:
        """Return an owner's last checkpoint, as of the latest ``refresh``.

        Raises:
            SnapshotError: A part of it is missing or cannot be read.
        """
        return self._latest.checkpoint(owner)

    def refresh(self) -> None:
        """Read the topic from its beginning to its end.

        Raises:
            LogError: The broker does not answer, or there is no such topic.
        """
        self._latest.clear()
        for record in reader.read(self._settings, STATE):
            if record.key is not None and record.key.startswith(self._prefix):
                self._latest.take(record.key, record.value)
