"""Publishing events outside of a consumer loop, with the broker's acknowledgement."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from tidegauge.runtime.kafka import clients
from tidegauge.runtime.kafka.errors import PublishError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.streaming.checkpoints import EncodedRecord
from tidegauge.streaming.commits import encode_output
from tidegauge.streaming.processor import Output

__all__ = ["Publisher", "send_all"]

_FLUSH_SECONDS = 30.0


def send_all(producer: KafkaProducer, encoded_records: Iterable[EncodedRecord]) -> None:
    """Send records and wait until each is acknowledged.

    Raises:
        KafkaError: A record was not acknowledged.
    """
    futures = [
        producer.send(encoded.topic, encoded.value, key=encoded.key, headers=list(encoded.headers))
        for encoded in encoded_records
    ]
    producer.flush(_FLUSH_SECONDS)
    for future in futures:
        future.get(_FLUSH_SECONDS)


class Publisher:
    """Publishes events and waits for the acknowledgement.

    Args:
        settings: Connection to Kafka.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._producer: KafkaProducer | None = None

    def publish(self, outputs: Iterable[Output]) -> None:
        """Publish events, in their order.

        Raises:
            PublishError: At least one was not acknowledged; publish all of them again.
            LogUnavailableError: No broker answers.
        """
        self.send(map(encode_output, outputs))

    def send(self, encoded_records: Iterable[EncodedRecord]) -> None:
        """Publish encoded records, in their order.

        Raises:
            PublishError: At least one was not acknowledged; publish all of them again.
            LogUnavailableError: No broker answers.
        """
        if self._producer is None:
            with clients.explained(self._settings, "connecting to publish"):
                self._producer = clients.producer(self._settings)
        try:
            send_all(self._producer, encoded_records)
        except KafkaError as error:
            # An idempotent producer that lost a record cannot be used any longer.
            self._discard()
            raise PublishError(
                f"records were not acknowledged by {self._settings.bootstrap_servers}: {error}"
            ) from error

    def _discard(self) -> None:
        if self._producer is not None:
            self._producer.close(timeout=0)
            self._producer = None

    def close(self) -> None:
        """Close the connection; safe to call twice."""
        if self._producer is not None:
            self._producer.close(timeout=_FLUSH_SECONDS)
            self._producer = None

    def __enter__(self) -> Self:
        """Return itself; it connects at the first publication."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
