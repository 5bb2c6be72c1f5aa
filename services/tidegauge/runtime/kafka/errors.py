"""Errors of the connection to Kafka.

TidegaugeError
└── LogError
    ├── LogUnavailableError
    ├── KafkaRefusedError
    ├── TopicError
    │   └── TopicLayoutError
    ├── PublishError
    ├── HiddenStateError
    ├── ClientHungError
    ├── WorkerHungError
    └── BaselineStoreError
        ├── UnknownBaselineError
        └── BaselineCorruptError
"""

from __future__ import annotations

from tidegauge.reports.formatting import duration
from tidegauge.schemas.errors import TidegaugeError

__all__ = [
    "BaselineCorruptError",
    "BaselineStoreError",
    "ClientHungError",
    "HiddenStateError",
    "KafkaRefusedError",
    "LogError",
    "LogUnavailableError",
    "PublishError",
    "TopicError",
    "TopicLayoutError",
    "UnknownBaselineError",
    "WorkerHungError",
]


class LogError(TidegaugeError):
    """A request to Kafka failed.

    Attributes:
        passing: Whether waiting may help.
    """

    passing = True


class LogUnavailableError(LogError):
    """No broker answers."""

    def __init__(
        self,
        servers: str,
        detail: str,
        remedy: str = "start it, or set KAFKA_BOOTSTRAP_SERVERS",
    ) -> None:
        """Name the address and the remedy."""
        super().__init__(f"no Kafka broker answers at {servers} ({detail}): {remedy}")


class KafkaRefusedError(LogError):
    """Kafka or its client library refuses, and will refuse again however often it is asked."""

    passing = False


class TopicError(LogError):
    """A topic is missing or has the wrong configuration."""


class TopicLayoutError(TopicError):
    """A topic's partitions are not as its readers need them."""

    passing = False


class PublishError(LogError):
    """Records were not acknowledged."""


class HiddenStateError(LogError):
    """A partition's last checkpoint is not visible, so no worker may continue from an older one."""

    def __init__(self, partition: str, why: str) -> None:
        """Give the mismatch, and what to do if it persists."""
        super().__init__(
            f"{partition} cannot be taken over yet: {why}. A transaction that is still open "
            "hides the last state; if this stays so, the offset was moved by hand or the state "
            "topic was emptied: delete the group's offsets to go on from what is there"
        )


class ClientHungError(LogError):
    """A call of kafka-python returned neither an answer nor an error in time."""


class WorkerHungError(LogError):
    """A worker had to stop, or lost Kafka, while its processor was still busy."""

    def __init__(self, group: str, seconds: float) -> None:
        """Say what happens to the work in progress."""
        super().__init__(
            f"the {group} worker was still busy {duration(seconds)} after it should have stopped: "
            "its uncommitted records will be processed again after a restart"
        )


class BaselineStoreError(LogError):
    """A baseline cannot be stored or found."""


class UnknownBaselineError(BaselineStoreError):
    """No baseline has this id."""


class BaselineDroppedError(BaselineStoreError):
    """A baseline is no longer kept: a longer one has replaced it."""


class BaselineCorruptError(BaselineStoreError):
    """A stored baseline does not match its manifest."""
