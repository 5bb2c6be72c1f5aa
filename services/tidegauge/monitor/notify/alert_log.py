"""The alerts' topic, with a committed position in the name of a group."""

from __future__ import annotations

from collections import deque

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from tidegauge.runtime.kafka import clients, reader
from tidegauge.runtime.kafka.errors import TopicError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.findings import Alert
from tidegauge.schemas.topics import ALERTS
from tidegauge.streaming.processor import Record

__all__ = ["KafkaAlertLog"]

_log = structlog.get_logger(__name__)


class KafkaAlertLog:
    """An ``AlertLog`` on Kafka.

    Partitions are assigned by hand: a receiver that is down for hours makes no member of a
    group look dead, and the position is committed all the same.

    Args:
        settings: How to reach Kafka.
        group: In whose name the position is committed.
        source: Whose alerts are read: a monitor that runs beside this one sends its own.
    """

    def __init__(self, settings: KafkaSettings, group: str, source: str) -> None:
        self._settings = settings
        self._group = group
        self._source = source.encode()
        self._consumer: KafkaConsumer | None = None
        self._records: deque[Record] = deque()

    def next(self, timeout_seconds: float) -> Alert | None:
        """See ``AlertLog``; a record that is no alert is passed over."""
        with clients.explained(self._settings, f"reading {ALERTS.name}"):
            if not self._records:
                consumer = self._opened()
                for records in consumer.poll(int(1000 * timeout_seconds)).values():
                    self._records.extend(map(clients.record_of, records))
        while self._records:
            alert = self._own(self._records[0])
            if alert is not None:
                return alert
            self.done()
        return None

    def done(self) -> None:
        """See ``AlertLog``."""
        record = self._records.popleft()
        place = TopicPartition(record.partition.topic, record.partition.index)
        with clients.explained(self._settings, f"committing a position in {ALERTS.name}"):
            self._opened().commit({place: OffsetAndMetadata(record.offset + 1, "", -1)})

    def sent(self, start_ms: int) -> tuple[Alert, ...]:
        """See ``AlertLog``."""
        with clients.explained(self._settings, f"reading positions in {ALERTS.name}"):
            consumer = self._opened()
            position = {at.partition: consumer.committed(at) or 0 for at in consumer.assignment()}
        before = [
            record
            for record in reader.read(self._settings, ALERTS, start_ms=start_ms)
            if record.offset < position.get(record.partition.index, 0)
        ]
        before.sort(key=lambda record: record.timestamp_ms)
        return tuple(alert for alert in map(self._own, before) if alert is not None)

    def _own(self, record: Record) -> Alert | None:
        """Return the record's alert, None for what is another monitor's or no alert."""
        if dict(record.headers).get("ce_source") != self._source:
            return None
        try:
            return decode(record.value, Alert)
        except DecodeError as error:
            _log.warning("not_an_alert", offset=record.offset, error=str(error)[:300])
            return None

    def close(self) -> None:
        """See ``AlertLog``."""
        self._records.clear()
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _opened(self) -> KafkaConsumer:
        if self._consumer is None:
            consumer = clients.consumer(self._settings, group=self._group)
            known = consumer.partitions_for_topic(ALERTS.name)
            if not known:
                consumer.close()
                raise TopicError(f"there is no topic {ALERTS.name}: run 'tidegauge topics ensure'")
            consumer.assign([TopicPartition(ALERTS.name, index) for index in sorted(known)])
            self._consumer = consumer
        return self._consumer
