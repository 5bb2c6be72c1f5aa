"""Clients of kafka-python, configured as tidegauge uses them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal, TypeAlias

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    InconsistentGroupProtocolError,
    InvalidGroupIdError,
    InvalidSessionTimeoutError,
    InvalidTopicError,
    InvalidTransactionTimeoutError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
    SecurityDisabledError,
    UnsupportedCodecError,
    UnsupportedCompressionTypeError,
    UnsupportedForMessageFormatError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)

from tidegauge.runtime.kafka.diagnosis import diagnose
from tidegauge.runtime.kafka.errors import KafkaRefusedError, LogError, LogUnavailableError
from tidegauge.runtime.kafka.partitioning import GroupPartitioner
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.runtime.kafka.unpacking import NotUnpacked, tolerate
from tidegauge.streaming.processor import Partition, Record

__all__ = [
    "REQUEST_MS",
    "admin",
    "consumer",
    "explained",
    "partition_of",
    "producer",
    "record_of",
    "refused",
    "topic_partition",
]

Reset: TypeAlias = Literal["earliest", "none"]

REQUEST_MS: Final = 10_000
"""Longest time that one request to the broker may take."""

_ACCESS = "grant this client access, or mend TIDEGAUGE_KAFKA_SASL_*"
_SIZE = "raise max.message.bytes of the topic and message.max.bytes of the brokers to 1 MiB or more"
_RELEASE = "upgrade the brokers to Apache Kafka 2.5 or newer"
_SETTING = "mend this setting, or the broker's limit on it"

_REMEDIES: Final[Mapping[type[KafkaError], str]] = {
    AuthorizationError: _ACCESS,
    SaslAuthenticationFailedError: _ACCESS,
    UnsupportedSaslMechanismError: "set TIDEGAUGE_KAFKA_SASL_MECHANISM to one that the broker has",
    SecurityDisabledError: "set TIDEGAUGE_KAFKA_SECURITY_PROTOCOL to what the broker has",
    UnsupportedCodecError: "`tidegauge doctor` lists the compressions that can be read here: "
    "pip install zstandard python-snappy lz4",
    UnsupportedCompressionTypeError: "set TIDEGAUGE_KAFKA_COMPRESSION to one that the broker takes",
    UnsupportedForMessageFormatError: _RELEASE,
    UnsupportedVersionError: _RELEASE,
    MessageSizeTooLargeError: _SIZE,
    RecordListTooLargeError: _SIZE,
    PolicyViolationError: "create the topics by hand, see `tidegauge topics list`",
    InvalidTopicError: "let the brokers take this topic's name",
    InvalidGroupIdError: _SETTING,
    InconsistentGroupProtocolError: "another program uses this consumer group: stop it",
    InvalidSessionTimeoutError: _SETTING,
    InvalidTransactionTimeoutError: _SETTING,
}
"""Errors that no retry cures, with what to do."""

_CREATE_TIME: Final = 0
_GATHER_BYTES: Final = 64 * 1024
"""Bytes that hold a full batch, so that no fetch waits for more."""
_BATCH_BYTES: Final = 128 * 1024
_REQUEST_BYTES: Final = 8 * 1024 * 1024


def refused(error: KafkaError, doing: str) -> KafkaRefusedError | None:
    """Return an error of kafka-python that no retry cures, with its remedy; None for others."""
    for kind, remedy in _REMEDIES.items():
        if isinstance(error, kind):
            said = str(error).strip() or type(error).__name__
            return KafkaRefusedError(
                f"Kafka refuses {doing} ({type(error).__name__}: {said}): {remedy}"
            )
    return None


@contextmanager
def explained(settings: KafkaSettings, doing: str) -> Iterator[None]:
    """Convert kafka-python's errors into tidegauge's.

    Raises:
        LogUnavailableError: No broker answers.
        KafkaRefusedError: No retry cures the error, as with a wrong password.
        LogError: Any other error of kafka-python.
    """
    try:
        yield
    except (KafkaConnectionError, KafkaTimeoutError) as error:
        raise _unreached(settings, doing, error) from error
    except KafkaError as error:
        if (refusal := refused(error, doing)) is not None:
            raise refusal from error
        raise LogError(f"Kafka failed while {doing}: {error}") from error


def _unreached(settings: KafkaSettings, doing: str, error: KafkaError) -> LogError:
    """Return the error for a failed connection, with the cause as far as it can be found."""
    diagnosis = diagnose(settings.client())
    if diagnosis is None:
        detail = f"while {doing}: {str(error) or type(error).__name__}"
        return LogUnavailableError(settings.bootstrap_servers, detail)
    if diagnosis.passing:
        detail = f"while {doing}: {diagnosis.cause}"
        return LogUnavailableError(settings.bootstrap_servers, detail, diagnosis.remedy)
    return KafkaRefusedError(
        f"no Kafka broker lets this client in ({diagnosis.cause}): {diagnosis.remedy}"
    )


def admin(settings: KafkaSettings) -> KafkaAdminClient:
    """Return an admin client."""
    return KafkaAdminClient(**settings.client(), request_timeout_ms=REQUEST_MS)


def consumer(
    settings: KafkaSettings,
    *,
    group: str | None = None,
    reset: Reset = "earliest",
    gather_ms: int = 0,
    uncommitted: bool = False,
    **options: Any,  # noqa: ANN401 - kafka-python's own
) -> KafkaConsumer:
    """Return a consumer of committed records.

    Args:
        settings: Connection to Kafka.
        group: The consumer group; without one, partitions are assigned by hand.
        reset: Where to begin where no position is known, or the log does not hold it any more;
            ``none`` raises.
        gather_ms: Longest time that the broker waits for further records before it answers a
            fetch; with 0 it answers at once.
        uncommitted: Read also records of transactions that are open or were aborted.
        options: Further options of ``KafkaConsumer``.
    """
    fetching = (
        {"fetch_max_wait_ms": gather_ms, "fetch_min_bytes": _GATHER_BYTES}
        if gather_ms
        else {"fetch_max_wait_ms": 200}
    )
    grouped = {
        "group_id": group,
        "group_instance_id": settings.group_instance_id,
        "session_timeout_ms": settings.session_timeout_ms,
        "heartbeat_interval_ms": max(settings.session_timeout_ms // 4, 250),
    }
    found = KafkaConsumer(
        **settings.client(),
        **(grouped if group else {"group_id": None}),
        enable_auto_commit=False,
        auto_offset_reset=reset,
        isolation_level="read_uncommitted" if uncommitted else "read_committed",
        request_timeout_ms=REQUEST_MS,
        metrics_enabled=False,
        **fetching,
        **options,
    )
    return tolerate(found)


def producer(
    settings: KafkaSettings,
    *,
    compression_type: str | None = "lz4",
    **options: Any,  # noqa: ANN401 - kafka-python's own
) -> KafkaProducer:
    """Return an idempotent producer.

    A transaction waits for several short requests, each after ``retry_backoff_ms``: with
    kafka-python's default of 100 ms it takes ten times as long as with 5.
    """
    return KafkaProducer(
        **settings.client(),
        compression_type=compression_type,
        linger_ms=5,
        batch_size=_BATCH_BYTES,
        max_request_size=_REQUEST_BYTES,
        retry_backoff_ms=5,
        request_timeout_ms=REQUEST_MS,
        delivery_timeout_ms=3 * REQUEST_MS,
        max_block_ms=REQUEST_MS,
        metrics_enabled=False,
        partitioner=GroupPartitioner(),
        **options,
    )


def topic_partition(partition: Partition) -> TopicPartition:
    """Return a partition as kafka-python's ``TopicPartition``."""
    return TopicPartition(partition.topic, partition.index)


def partition_of(found: TopicPartition) -> Partition:
    """Return a partition of kafka-python as a ``Partition``."""
    return Partition(found.topic, found.partition)


def record_of(found: Any) -> Record:  # noqa: ANN401 - kafka-python's ConsumerRecord
    """Return a record of kafka-python as a ``Record``; a tombstone has no bytes.

    Raises:
        UnsupportedCodecError: The record is in a compression that cannot be read here.
    """
    value, unreadable = found.value, ""
    if isinstance(value, NotUnpacked):
        if isinstance(value.error, UnsupportedCodecError):
            raise value.error
        unreadable = (
            f"the records from {value.first_offset} to {found.offset} cannot be unpacked "
            f"({type(value.error).__name__}: {value.error})"
        )
        value = b""
    return Record(
        partition=Partition(found.topic, found.partition),
        offset=found.offset,
        value=value if value is not None else b"",
        key=found.key,
        headers=tuple((name, header or b"") for name, header in found.headers),
        timestamp_ms=found.timestamp,
        producer_time=found.timestamp_type == _CREATE_TIME,
        unreadable=unreadable,
    )
