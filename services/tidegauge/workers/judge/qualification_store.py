"""The judges' last qualification runs, kept in the state topic across restarts.

A judge that is started again is not asked the golden answers again, as long as its specification
and its server are the same and the run is recent. A judge that scores the same golden answers
differently with the same specification has changed: its server has other weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, Literal

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
from tidegauge.workers.judge.qualification_run import QualificationRun, StoredRun

__all__ = ["QualificationStore"]

_OWNER: Final = "judge-qualification/"

_log = structlog.stdlib.get_logger(__name__)


class _Remembered(msgspec.Struct, frozen=True):
    judge: str
    specification_hash: str
    server: str
    time_ms: int
    scores: dict[str, dict[str, float]]
    version: Literal[2] = 2


class QualificationStore:
    """Stores the last qualification run of each judge, specification and server.

    If the broker is unreachable, runs are not compared, but answers are judged; this is logged.

    Args:
        settings: How to reach Kafka.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def recall(self) -> Earlier:
        """Return judge, specification hash and server -> the judge's last run."""
        found: dict[tuple[str, str, str], StoredRun] = {}
        try:
            for record in reader.read(self._settings, STATE):
                if not (record.key or b"").startswith(_OWNER.encode()):
                    continue
                if (seen := _read(record.value)) is not None:
                    scores = {key: _score(values) for key, values in seen.scores.items()}
                    key = (seen.judge, seen.specification_hash, seen.server)
                    found[key] = StoredRun(seen.time_ms, scores)
        except LogError as error:
            _log.warning("judge_memory_unread", detail=str(error))
        return found

    def remember(self, judge: str, server: str, found: QualificationRun, *, now_ms: int) -> None:
        """Store a judge's qualification run."""
        try:
            with Publisher(self._settings) as publisher:
                publisher.publish([_output(judge, server, found, now_ms)])
        except LogError as error:
            _log.warning("judge_memory_unwritten", detail=str(error))


def _read(value: bytes) -> _Remembered | None:
    try:
        return msgspec.json.decode(decode(value, Snapshot).state, type=_Remembered)
    except (DecodeError, msgspec.DecodeError):
        return None  # a tombstone, or written by another version


def _score(values: Mapping[str, float]) -> Score:
    return Score(values=values) if values else Score(invalid="stored_without_score")


def _output(judge: str, server: str, found: QualificationRun, now_ms: int) -> Output:
    place = hashlib.blake2b(server.encode(), digest_size=6).hexdigest()
    owner = f"{_OWNER}{judge}/{found.specification_hash[:16]}/{place}"
    scores = {key: dict(score.values) for key, score in found.scores.items()}
    state = msgspec.json.encode(
        _Remembered(judge, found.specification_hash, server, now_ms, scores)
    )
    return Output(
        topic=STATE,
        key=owner,
        event=Snapshot(owner=owner, next_offset=0, state=state),
        source="judge",
        event_id=f"{owner}/{now_ms}",
        time_ms=now_ms,
    )
