"""What can go wrong between tidegauge and Kafka.

TidegaugeError
└── LogError
    ├── LogUnavailableError
    ├── TopicError
    ├── PublishError
    └── BaselineStoreError
        ├── UnknownBaselineError
        └── BaselineCorruptError
"""

from __future__ import annotations

from tidegauge.schemas.errors import TidegaugeError

__all__ = [
    "BaselineCorruptError",
    "BaselineStoreError",
    "LogError",
    "LogUnavailableError",
    "PublishError",
    "TopicError",
    "UnknownBaselineError",
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


class BaselineStoreError(LogError):
    """A baseline cannot be stored or found."""


class UnknownBaselineError(BaselineStoreError):
    """No baseline has this id."""


class BaselineCorruptError(BaselineStoreError):
    """A stored baseline is not what its manifest says."""
