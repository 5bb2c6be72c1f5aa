"""The newest verdict of each monitor on each segment, read from the log."""

from __future__ import annotations

from typing import Final

from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.findings import Verdict
from tidegauge.schemas.topics import VERDICTS

__all__ = ["latest_verdicts"]

_RECENT_MS: Final = 600_000


def latest_verdicts(kafka: KafkaSettings, now_ms: int) -> tuple[Verdict, ...]:
    """Return the newest verdicts of the last ten minutes, by monitor and segment.

    Args:
        kafka: How to reach Kafka.
        now_ms: The present, Unix milliseconds.

    Raises:
        TopicError: There is no such topic.
        LogError: The broker does not answer.
    """
    latest: dict[tuple[str, str], Verdict] = {}
    for record in reader.read(kafka, VERDICTS, start_ms=now_ms - _RECENT_MS):
        try:
            verdict = decode(record.value, Verdict)
        except DecodeError:
            continue  # its readers log such a record
        latest[verdict.monitor, verdict.segment.key] = verdict
    return tuple(latest[key] for key in sorted(latest))
