"""The topics: their events, keys, partitions and retention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tidegauge.schemas.evaluations import EmbeddingEvent, JudgmentEvent, LabelEvent, Remark
from tidegauge.schemas.exchange import Heartbeat, RequestEvent, ResponseEvent
from tidegauge.schemas.findings import Alert, Verdict
from tidegauge.schemas.operations import (
    BaselineActivation,
    BaselineChunk,
    BaselineManifest,
    Control,
    DeadLetter,
    Snapshot,
)
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.upstream_events import UpstreamSample, UpstreamWork

__all__ = [
    "ALERTS",
    "ALL_TOPICS",
    "BASELINES",
    "CONTROLS",
    "DEAD_LETTERS",
    "EMBEDDINGS",
    "HEARTBEATS",
    "JUDGMENTS",
    "LABELS",
    "REMARKS",
    "REQUESTS",
    "RESPONSES",
    "SKETCHES",
    "STATE",
    "UPSTREAMS",
    "VERDICTS",
    "Event",
    "Topic",
]

Event = (
    RequestEvent
    | ResponseEvent
    | Heartbeat
    | EmbeddingEvent
    | Sketch
    | Progress
    | JudgmentEvent
    | LabelEvent
    | Remark
    | Verdict
    | Alert
    | BaselineManifest
    | BaselineChunk
    | BaselineActivation
    | Snapshot
    | Control
    | DeadLetter
    | UpstreamWork
    | UpstreamSample
)

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Topic:
    """The declaration of a topic.

    Attributes:
        name: Name on the broker; the suffix is the major version of its events.
        carries: Types of its events.
        key: Description of the records' key.
        partitions: Number of partitions to create.
        retention_ms: How long records are kept; None for a compacted topic.
        holds_text: Whether records hold prompts, answers, or what these can be guessed from; the
            setting ``TIDEGAUGE_KAFKA_TEXT_DAYS`` says how long such a topic keeps them. Each
            record has a key of its own, so that a tombstone erases it.
    """

    name: str
    carries: tuple[type[Event], ...]
    key: str
    partitions: int = 1
    retention_ms: int | None = 7 * _DAY_MS
    holds_text: bool = False

    @property
    def compacted(self) -> bool:
        """Whether the broker keeps the last record of each key."""
        return self.retention_ms is None


REQUESTS = Topic(
    "requests.v1",
    (RequestEvent,),
    "conversation_id of a follow-up, else repeat_of; a line feed; request_id",
    partitions=4,
    holds_text=True,
)
RESPONSES = Topic(
    "responses.v1",
    (ResponseEvent,),
    "conversation_id, but of derived openings; a line feed; request_id",
    partitions=4,
    holds_text=True,
)
HEARTBEATS = Topic("heartbeats.v1", (Heartbeat,), "producer_id")
EMBEDDINGS = Topic("embeddings.v1", (EmbeddingEvent,), "request_id", partitions=4, holds_text=True)
SKETCHES = Topic("sketches.v1", (Sketch, Progress), "segment key", retention_ms=60 * _DAY_MS)
JUDGMENTS = Topic("judgments.v1", (JudgmentEvent,), "request_id", retention_ms=60 * _DAY_MS)
REMARKS = Topic("remarks.v1", (Remark,), "request_id, a line feed and the author", holds_text=True)
LABELS = Topic("labels.v1", (LabelEvent,), "request_id", retention_ms=365 * _DAY_MS)
VERDICTS = Topic("verdicts.v1", (Verdict,), "monitor and segment key", retention_ms=60 * _DAY_MS)
ALERTS = Topic("alerts.v1", (Alert,), "alert_id", retention_ms=365 * _DAY_MS)
BASELINES = Topic(
    "baselines.v1",
    (BaselineManifest, BaselineChunk, BaselineActivation),
    "baseline_id, baseline_id/part or active/kind",
    retention_ms=None,
)
STATE = Topic("state.v1", (Snapshot,), "owner", retention_ms=None)
CONTROLS = Topic("controls.v1", (Control,), "monitor and segment key", retention_ms=365 * _DAY_MS)
UPSTREAMS = Topic(
    "upstreams.v1",
    (UpstreamWork, UpstreamSample),
    "producer_id or upstream",
    retention_ms=400 * _DAY_MS,
)
DEAD_LETTERS = Topic(
    "dead-letters.v1",
    (DeadLetter,),
    "topic-partition-offset, a line feed and the group",
    holds_text=True,
)

ALL_TOPICS: Mapping[str, Topic] = MappingProxyType(
    {
        topic.name: topic
        for topic in (
            REQUESTS,
            RESPONSES,
            HEARTBEATS,
            EMBEDDINGS,
            SKETCHES,
            JUDGMENTS,
            REMARKS,
            LABELS,
            VERDICTS,
            ALERTS,
            BASELINES,
            STATE,
            CONTROLS,
            UPSTREAMS,
            DEAD_LETTERS,
        )
    }
)
