"""Past alerts of the log: the latest state of each alarm since a moment, or of one incident."""

from __future__ import annotations

from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.findings import Alert
from tidegauge.schemas.topics import ALERTS

__all__ = ["past_alerts"]


def past_alerts(
    kafka: KafkaSettings, incident_id: str = "", *, start_ms: int | None = None
) -> tuple[Alert, ...]:
    """Return the latest state of each alarm that the log holds, in order of their start.

    Args:
        kafka: How to reach Kafka.
        incident_id: Only alarms of this incident; empty for all.
        start_ms: Leave out what was said before, Unix milliseconds.

    Raises:
        TopicError: There is no such topic.
        LogError: The broker does not answer.
    """
    name = incident_id.encode()
    latest: dict[str, Alert] = {}
    for record in reader.read(kafka, ALERTS, start_ms=start_ms):
        if name not in record.value:
            continue
        try:
            alert = decode(record.value, Alert)
        except DecodeError:
            continue  # its readers log such a record
        if not incident_id or incident_id in (alert.incident, alert.alert_id):
            latest[alert.alert_id] = alert
    return tuple(sorted(latest.values(), key=lambda a: (a.starts_ms, a.alert_id)))
