"""What can go wrong between tidegauge and Kafka.

TidegaugeError
└── LogError
    ├── LogUnavailableError
    ├── TopicError
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
    "LogError",
    "LogUnavailableError",
    "PublishError",
    "TopicError",
    "UnknownBaselineError",
    "WorkerHungError",
]


class LogError(TidegaugeError):
    """Kafka cannot do what was asked."""


class LogUnavailableError(LogError):
    """No broker answers."""

    def __init__(self, servers: str, detail: str) -> None:
        """Name the address and the way out."""
        super().__init__(
            f"no Kafka broker answers at {servers} ({detail}): "
            "start it, or set KAFKA_BOOTSTRAP_SERVERS"
        )


class TopicError(LogError):
    """A topic is missing or not as it must be."""


class PublishError(LogError):
    """Records were not acknowledged."""


class HiddenStateError(LogError):
    """A partition's last state cannot be seen, so nobody may go on from the one before."""

    def __init__(self, partition: str, why: str) -> None:
        """Say what does not fit together, and what to do if it stays so."""
        super().__init__(
            f"{partition} cannot be taken over yet: {why}. A transaction that is still open "
            "hides the last state; if this stays so, the offset was moved by hand or the state "
            "topic was emptied: delete the group's offsets to go on from what is there"
        )


class ClientHungError(LogError):
    """kafka-python did not come back, neither with an answer nor with an error."""


class WorkerHungError(LogError):
    """A worker was told to stop, or lost Kafka, while its processor did not come back."""

    def __init__(self, group: str, seconds: float) -> None:
        """Say what became of its work."""
        super().__init__(
            f"the {group} worker was still busy {duration(seconds)} after it should have stopped: "
            "what it was doing is not committed, and will be done again after a start"
        )


class BaselineStoreError(LogError):
    """A baseline cannot be stored or found."""


class UnknownBaselineError(BaselineStoreError):
    """No baseline has this id."""


class BaselineCorruptError(BaselineStoreError):
    """A stored baseline is not what its manifest says."""
