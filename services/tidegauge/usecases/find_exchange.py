"""Finding the text of one request, which sketches, verdicts and alerts only name."""

from __future__ import annotations

from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.topics import REQUESTS, RESPONSES

__all__ = ["find_exchange"]


def find_exchange(
    kafka: KafkaSettings, request_id: str, start_ms: int | None = None
) -> ResponseEvent | RequestEvent | None:
    """Return the response to a request, else the request itself.

    Args:
        kafka: Connection to Kafka.
        request_id: The request's id.
        start_ms: Leave out records with an earlier timestamp.

    Returns:
        The event; None if the log does not hold it any more, or never did.

    Raises:
        TopicError: There is no such topic.
        LogError: The broker does not answer.
    """
    name = request_id.encode()
    for topic in (RESPONSES, REQUESTS):
        for record in reader.read(kafka, topic, start_ms=start_ms):
            if name not in record.value:
                continue
            try:
                event = decode(record.value, RequestEvent, ResponseEvent)
            except DecodeError:
                continue
            if event.request_id == request_id:
                return event
    return None
