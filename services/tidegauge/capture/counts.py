"""What a run counts, by the names that its counters have, and why events are dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

__all__ = ["SERVED", "Counts", "Drop", "captured_counter", "counts_of", "dropped_counter"]

SERVED: Final = "served"
_CAPTURED = "captured"
_DROPPED = "dropped"


class Drop(StrEnum):
    """Why an event was not captured, or was lost afterwards.

    Attributes:
        QUOTA: The outbox holds its quota: the broker has been away for too long.
        DISK_FULL: The disk is.
        IO_ERROR: The disk fails.
        TOO_LARGE: The event is beyond ``max_event_bytes``.
        INVALID_EVENT: It could not be built or encoded.
        CLOSED: The recorder has been closed, or was never started.
        DAMAGED: It lay in the outbox and could not be read back.
        REJECTED: The broker refuses it for good.
    """

    QUOTA = "quota"
    DISK_FULL = "disk_full"
    IO_ERROR = "io_error"
    TOO_LARGE = "too_large"
    INVALID_EVENT = "invalid_event"
    CLOSED = "closed"
    DAMAGED = "damaged"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Counts:
    """What a run has counted.

    Attributes:
        served: Requests answered.
        captured: Events appended, by topic.
        dropped: Events that could not be appended, by topic and reason.
    """

    served: int = 0
    captured: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)


def captured_counter(topic: str) -> str:
    """Name of the counter of a topic's events that were appended."""
    return f"{_CAPTURED}/{topic}"


def dropped_counter(topic: str, reason: str) -> str:
    """Name of the counter of a topic's events that were not."""
    return f"{_DROPPED}/{topic}/{reason}"


def counts_of(counters: Mapping[str, int]) -> Counts:
    """Arrange counters; names of a later version are passed over.

    Example:
        >>> counts_of({"served": 2, "captured/a.v1": 1, "dropped/a.v1/quota": 1})
        Counts(served=2, captured={'a.v1': 1}, dropped={'a.v1': {'quota': 1}})
    """
    captured: dict[str, int] = {}
    dropped: dict[str, dict[str, int]] = {}
    for name, value in counters.items():
        match name.split("/"):
            case [kind, topic] if kind == _CAPTURED:
                captured[topic] = value
            case [kind, topic, reason] if kind == _DROPPED:
                dropped.setdefault(topic, {})[reason] = value
    return Counts(served=counters.get(SERVED, 0), captured=captured, dropped=dropped)
