"""The judges' last qualification runs, kept in the state topic across restarts.

A new specification has another hash and no earlier run. A judge that scores the same golden answers
differently with the same specification has changed: its server has other weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import structlog

from tidegauge.quality.judged_exchange import Score
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.errors import LogError
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.operations import Snapshot
from tidegauge.schemas.topics import STATE
from tidegauge.streaming.processor import Output
from tidegauge.workers.judge.judge_pool import Earlier
from tidegauge.workers.judge.qualification_run import QualificationRun

__all__ = ["QualificationStore"]

_OWNER: Final = "judge-qualification/"

_log = structlog.stdlib.get_logger(__name__)


class _Remembered(msgspec.Struct, frozen=True):
    judge: str
    specification_hash: str
    scores: dict[str, dict[str, float]]
    version: int = 1


class QualificationStore:
    """Stores the last qualification run of each judge and specification.

    If the broker is unreachable, runs are not compared, but answers are judged; this is logged.

    Args:
        settings: How to reach Kafka.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def recall(self) -> Earlier:
        """Return judge and specification hash -> the golden answers' scores at its last run."""
        found: dict[tuple[str, str], Mapping[str, Score]] = {}
        try:
            for record in reader.read(self._settings, STATE):
                if not (record.key or b"").startswith(_OWNER.encode()):
                    continue
                if (seen := _read(record.value)) is not None:
                    scores = {key: Score(values=values) for key, values in seen.scores.items()}
                    found[seen.judge, seen.specification_hash] = scores
        except LogError as error:
            _log.warning("judge_memory_unread", detail=str(error))
        return found

    def remember(self, runs: Mapping[str, QualificationRun], *, now_ms: int) -> None:
        """Store these qualification runs."""
        try:
            with Publisher(self._settings) as publisher:
                publisher.publish(_output(judge, found, now_ms) for judge, found in runs.items())
        except LogError as error:
            _log.warning("judge_memory_unwritten", detail=str(error))


def _read(value: bytes) -> _Remembered | None:
    try:
        return msgspec.json.decode(decode(value, Snapshot).state, type=_Remembered)
    except (DecodeError, msgspec.DecodeError):
        return None  # a tombstone, or written by another version


def _output(judge: str, found: QualificationRun, now_ms: int) -> Output:
    owner = f"{_OWNER}{judge}/{found.specification_hash[:16]}"
    scores = {key: dict(score.values) for key, score in found.scores.items()}
    state = msgspec.json.encode(_Remembered(judge, found.specification_hash, scores))
    return Output(
        topic=STATE,
        key=owner,
        event=Snapshot(owner=owner, next_offset=0, state=state),
        source="judge",
        event_id=f"{owner}/{now_ms}",
        time_ms=now_ms,
    )
