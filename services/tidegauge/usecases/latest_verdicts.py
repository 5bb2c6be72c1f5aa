"""The newest verdict of each monitor on each segment, read from the log."""

from __future__ import annotations

from typing import Final

from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.findings import Verdict
from tidegauge.schemas.topics import VERDICTS

__all__ = ["latest_verdicts"]

_STRETCHES_MS: Final = (120_000, 600_000)
"""How far back is looked, in turn, until a verdict is found: a monitor that tests says something
of each window, so that the first minutes hold the newest verdict of all that do."""


def latest_verdicts(kafka: KafkaSettings, now_ms: int) -> tuple[Verdict, ...]:
    """Return the newest verdicts of the last minutes, by monitor and segment.

    Args:
        kafka: How to reach Kafka.
        now_ms: The present, Unix milliseconds.

    Raises:
        TopicError: There is no such topic.
        LogError: The broker does not answer.
    """
    newest: dict[tuple[int, bytes | None], bytes] = {}
    for stretch_ms in _STRETCHES_MS:
        for record in reader.read(kafka, VERDICTS, start_ms=now_ms - stretch_ms):
            newest[record.partition.index, record.key] = record.value  # its monitor and segment
        if newest:
            break
    latest: dict[tuple[str, str], Verdict] = {}
    for value in newest.values():
        try:
            verdict = decode(value, Verdict)
        except DecodeError:
            continue  # its readers log such a record
        latest[verdict.monitor, verdict.segment.key] = verdict
    return tuple(latest[key] for key in sorted(latest))
