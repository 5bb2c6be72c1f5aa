"""Sends records to Kafka in batches; each batch is acknowledged before the next one is sent.

With one batch at a time, and at most one produce request per partition in it, records keep
their order within a partition through any failure. Otherwise a producer could give up one
request and send the next, and a consumer that drops sequences below the last one it saw would
drop the records that are sent again. A batch is a few hundred events, so waiting costs little.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from kafka import KafkaProducer
from kafka.errors import (
    InvalidRecordError,
    InvalidTimestampError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
from kafka.producer.future import FutureRecordMetadata

from tidegauge.capture.settings import KafkaAccess
from tidegauge.runtime.kafka.diagnosis import diagnose
from tidegauge.runtime.kafka.oauth import token_provider
from tidegauge.runtime.kafka.partitioning import partition_of

__all__ = ["Delivery", "Interrupted", "ProducerRecord"]

_log = logging.getLogger(__name__)

_REFUSALS = (
    InvalidRecordError,
    InvalidTimestampError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)
"""Errors after which a record is not retried: the broker never accepts it."""

_MEBIBYTE = 1 << 20
_DAY_MS = 86_400_000
_FIRST_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 10.0
_CHECK_SECONDS = 0.2
_BLOCK_MS = 3_000
_QUIET_SECONDS = 2.0
_TELL_SECONDS = 30.0


class Interrupted(Exception):  # noqa: N818 - the caller's own wish, no error
    """The delivery was interrupted; which records of the batch arrived is unknown."""


class ProducerRecord(msgspec.Struct, frozen=True):
    """A Kafka record to send."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    time_ms: int


class Delivery:
    """Delivers batches through a Kafka producer, which is rebuilt after each failure.

    Args:
        access: How to reach the broker.
        client_id: Name of this client on the broker.
        interrupted: Whether to stop; called several times a second while waiting for the broker.
    """

    def __init__(
        self, access: KafkaAccess, *, client_id: str, interrupted: Callable[[], bool]
    ) -> None:
        self._access = access
        self._client_id = client_id
        self._interrupted = interrupted
        self._producer: KafkaProducer | None = None
        self._failing_since: float | None = None
        self._told = float("-inf")

    def deliver(self, batch: Sequence[ProducerRecord]) -> list[bool]:
        """Send a batch and wait until each record is acknowledged or permanently rejected.

        While the broker is unreachable, the batch is retried without a limit.

        Returns:
            For each record whether the broker acknowledged it; if not, it was rejected.

        Raises:
            Interrupted: ``interrupted`` returned true.
        """
        if not batch:
            return []
        errors = self._insist(batch)
        if any(errors) and len(batch) > 1:
            # One rejected record fails its whole batch; sent one by one, only that one is lost.
            return [
                error is None or not any(self._insist([record]))
                for record, error in zip(batch, errors, strict=True)
            ]
        return [error is None for error in errors]

    def _insist(self, batch: Sequence[ProducerRecord]) -> list[KafkaError | None]:
        """Retry until there is no error or a rejection among them; return each record's error."""
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            try:
                errors: list[KafkaError | None] = self._attempt(batch)
            except KafkaError as error:
                errors = [error] * len(batch)
            failure = next(filter(None, errors), None)
            if failure is None:
                self._recovered()
                return errors
            # After a rejection, an idempotent producer fails every later record with that error.
            self.close()
            if any(isinstance(error, _REFUSALS) for error in errors):
                return errors
            self._tell(failure)
            self._sleep(backoff)
            backoff = min(2 * backoff, _LONGEST_BACKOFF_SECONDS)

    def _attempt(self, batch: Sequence[ProducerRecord]) -> list[KafkaError | None]:
        producer = self._connected()
        partitions = {
            topic: self._partitions(producer, topic) for topic in {record.topic for record in batch}
        }
        sent = []
        for record in batch:
            try:
                sent.append(
                    producer.send(
                        record.topic,
                        key=record.key,
                        value=record.value,
                        headers=record.headers,
                        partition=partition_of(record.key, partitions[record.topic]),
                        timestamp_ms=record.time_ms,
                    )
                )
            except MessageSizeTooLargeError as error:
                sent.append(error)
        self._flush(producer)
        return [entry if isinstance(entry, KafkaError) else _answer(entry) for entry in sent]

    def _connected(self) -> KafkaProducer:
        if self._producer is None:
            access = self._access
            self._producer = KafkaProducer(
                **_connection(access),
                client_id=self._client_id,
                acks="all",
                enable_idempotence=True,
                compression_type=access.compression,
                # Nothing is sent before ``flush`` and no producer batch is ever full, so each
                # partition gets one produce request per ``Batch``.
                linger_ms=60_000,
                batch_size=4 * _MEBIBYTE,
                max_request_size=4 * _MEBIBYTE,
                # Retried without a limit: only ``interrupted`` ends a delivery.
                delivery_timeout_ms=365 * _DAY_MS,
                max_block_ms=_BLOCK_MS,
                bootstrap_timeout_ms=_BLOCK_MS,
                reconnect_backoff_max_ms=2_000,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        return self._producer

    def _partitions(self, producer: KafkaProducer, topic: str) -> int:
        """Wait until a topic's metadata is known; return the number of its partitions."""
        try:
            return len(producer.partitions_for(topic))
        except KafkaTimeoutError as error:
            raise KafkaTimeoutError(
                f"no metadata of topic {topic}: if the broker is up, it lacks the topic; "
                "make it with `tidegauge topics ensure`"
            ) from error

    def _flush(self, producer: KafkaProducer) -> None:
        while True:
            try:
                producer.flush(timeout=_CHECK_SECONDS)
            except KafkaTimeoutError as error:
                self._tell(error)
                if self._interrupted():
                    raise Interrupted from None
            else:
                return

    def _sleep(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._interrupted():
                raise Interrupted
            time.sleep(min(left, _CHECK_SECONDS))

    def _tell(self, error: KafkaError | None) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since >= _QUIET_SECONDS and now - self._told >= _TELL_SECONDS:
            self._told = now
            diagnosis = diagnose(_connection(self._access))
            _log.warning(
                "events stay in the outbox: no acknowledgement from %s for %.0f s (%s)",
                self._access.bootstrap_servers,
                now - self._failing_since,
                f"{diagnosis.cause}: {diagnosis.remedy}"
                if diagnosis
                else f"{type(error).__name__}: {error}",
            )

    def _recovered(self) -> None:
        if self._failing_since is not None and self._told > float("-inf"):
            seconds = time.monotonic() - self._failing_since
            _log.info("the broker acknowledges again, after %.1f s", seconds)
        self._failing_since, self._told = None, float("-inf")

    def close(self) -> None:
        """Close the producer; the next batch builds a new one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                producer.close(timeout=1)
            except KafkaError as error:
                _log.debug("the producer did not close: %s", error)


def _connection(access: KafkaAccess) -> dict[str, Any]:
    """Return the options that tell kafka-python's clients how to reach the broker."""
    return {
        "bootstrap_servers": access.bootstrap_servers.split(","),
        "security_protocol": access.security_protocol,
        "sasl_mechanism": access.sasl_mechanism,
        "sasl_plain_username": access.sasl_username,
        "sasl_plain_password": access.sasl_password,
        "sasl_oauth_token_provider": token_provider(
            file=access.sasl_token_file,
            url=access.sasl_token_url,
            client_id=access.sasl_username,
            client_secret=access.sasl_password,
            scope=access.sasl_token_scope,
        ),
        "ssl_cafile": access.ssl_cafile,
        "ssl_certfile": access.ssl_certfile,
        "ssl_keyfile": access.ssl_keyfile,
        "ssl_password": access.ssl_password,
    }


def _answer(future: FutureRecordMetadata) -> KafkaError | None:
    """Return the error of a record; None if the record was acknowledged."""
    if future.succeeded():
        return None
    error = future.exception
    return error if isinstance(error, KafkaError) else KafkaError(f"no acknowledgement: {error}")
