"""The drift worker's extractor: embeds requests and projects them with the active baseline."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.polya_urn import TOTAL
from tidegauge.detection.reference import nearest
from tidegauge.drift.baseline import DriftBaseline
from tidegauge.drift.preparation import Preparation, prepare
from tidegauge.drift.projection import ProjectedVectors, cell_label, cells, hits_of, project
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.evaluations import EmbeddingEvent
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.hashing import unit_hash
from tidegauge.schemas.sketches import EXEMPLAR_CHARACTERS, Exemplar, SketchKind
from tidegauge.schemas.topics import EMBEDDINGS
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.streaming.processor import Output, Partition

__all__ = ["NO_BASELINE", "TRUNCATED", "CallerCap", "DriftExtractor", "Embeds"]

Vectors: TypeAlias = NDArray[np.float32]

NO_BASELINE = "no_baseline"
"""Notice: no drift baseline is active, requests are only counted."""
TRUNCATED = "truncated"
"""Total in the worker's progress: texts that were cut off."""


_CALLER_WINDOWS = 64
"""Windows remembered in each partition: more than can be open at a time."""


class CallerCap:
    """Counts each caller's events by partition, window and segment.

    A restart in the middle of a window resets its counts, so that the window may admit up to
    twice as many events.

    Args:
        window_ms: Length of a window of event time.
    """

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._seen: dict[Partition, OrderedDict[int, Counter[tuple[str, str]]]] = {}

    def admits(
        self, partition: Partition, segment: Segment, customer: str, time_ms: int, *, most: int
    ) -> bool:
        """Count an event; return whether it is among the first ``most`` of its caller.

        Args:
            partition: The event's partition.
            segment: The event's segment.
            customer: The event's customer.
            time_ms: Event time.
            most: Most events of a caller in a window of a segment; 0 for any number.
        """
        if most <= 0:
            return True
        windows = self._seen.setdefault(partition, OrderedDict())
        callers = windows.setdefault(time_ms // self._window_ms, Counter())
        callers[segment.key, customer] += 1
        while len(windows) > _CALLER_WINDOWS:
            windows.popitem(last=False)
        return callers[segment.key, customer] <= most


class Embeds(Protocol):
    """The part of an embedder that the extractor uses."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors, shape (n, d); a row of NaN for a text without one."""


@dataclass(frozen=True, slots=True)
class _View:
    """The active baseline, or the reason why there is none."""

    baseline: DriftBaseline | None
    notice: str | None


class DriftExtractor:
    """Measures requests; the baseline may be changed at any time, from any thread.

    Args:
        embedder: Turns texts into vectors.
        preparation: How requests become texts.
        window_ms: Length of a window of event time.
        publish_vectors: Whether embedding events carry the vectors.
    """

    kind: SketchKind = "drift"
    reads: type[RequestEvent] = RequestEvent

    def __init__(
        self,
        embedder: Embeds,
        preparation: Preparation,
        *,
        window_ms: int,
        publish_vectors: bool = True,
    ) -> None:
        self._embedder = embedder
        self._preparation = preparation
        self._callers = CallerCap(window_ms)
        self._publish_vectors = publish_vectors
        self._view = _View(None, NO_BASELINE)

    def use(self, baseline: DriftBaseline | None, notice: str | None = None) -> None:
        """Set the active baseline, or none.

        Args:
            baseline: Baseline for the requests from now on; None to only count them.
            notice: Short code to publish, such as the reason why there is none.
        """
        self._view = _View(baseline, notice)

    def notices(self) -> tuple[str, ...]:
        """Return the reason why requests are only counted, if they are."""
        notice = self._view.notice
        return () if notice is None else (notice,)

    def measure(self, events: Sequence[tuple[Origin, RequestEvent]]) -> Sequence[Measurement]:
        """Return what each request adds to its window."""
        baseline = self._view.baseline
        if baseline is None:
            return [Measurement(counted=not event.shadow) for _, event in events]
        found = [self._admit(baseline, origin, event) for origin, event in events]
        texts = [one.text for one in found if isinstance(one, _Admitted)]
        vectors = self._embedder.embed(texts)
        usable = np.isfinite(vectors.sum(axis=1, keepdims=True))
        # A row of NaN is projected as a row of zeros, and then not counted.
        projected = project(baseline.projection, texts, np.where(usable, vectors, 0))
        hits = hits_of(baseline.projection, texts, projected)
        segments = [
            event.segment
            for (_, event), one in zip(events, found, strict=True)
            if isinstance(one, _Admitted)
        ]
        placed = _placed(baseline, segments, projected)
        measured, row = [], 0
        for (origin, event), one in zip(events, found, strict=True):
            if isinstance(one, Measurement):
                measured.append(one)
                continue
            if usable[row, 0]:
                seen = _Seen(one, hits[row], placed[row], vectors[row], projected, row)
                measured.append(self._measured(baseline, origin, event, seen))
            else:
                measured.append(_left_out(baseline, "no_vector"))
            row += 1
        return measured

    def _admit(
        self, baseline: DriftBaseline, origin: Origin, event: RequestEvent
    ) -> _Admitted | Measurement:
        if event.shadow:
            return Measurement(counted=False)
        if event.capture == "none":
            return _left_out(baseline, "not_captured")
        prepared = prepare(event.messages, self._preparation)
        if not prepared.text:
            return _left_out(baseline, "empty")
        admitted = self._callers.admits(
            origin.partition,
            event.segment,
            event.customer,
            event.time_ms,
            most=baseline.caller_cap,
        )
        if not admitted:
            return _left_out(baseline, "caller_cap")
        return _Admitted(prepared.text, prepared.truncated)

    def _measured(
        self, baseline: DriftBaseline, origin: Origin, event: RequestEvent, seen: _Seen
    ) -> Measurement:
        novelty = float(seen.projected.novelty[seen.row])
        cluster = int(seen.projected.cluster[seen.row])
        embedding = EmbeddingEvent(
            request_id=event.request_id,
            producer_id=origin.producer_id,
            sequence=origin.offset + 1,
            time_ms=event.time_ms,
            segment=event.segment,
            baseline=baseline.baseline_id,
            embedder=baseline.embedder,
            cluster=cluster,
            novelty=novelty,
            vector=seen.vector.astype("<f2").tobytes() if self._publish_vectors else b"",
        )
        return Measurement(
            hits=seen.hits,
            values={measures.NOVELTY: novelty},
            totals={TOTAL: dict.fromkeys(seen.cells, 1)},
            exemplar=Exemplar(
                request_id=event.request_id,
                rank=unit_hash(event.request_id),
                text=seen.admitted.text[:EXEMPLAR_CHARACTERS],
                customer=event.customer,
                value=novelty,
            ),
            progress={TRUNCATED: 1} if seen.admitted.truncated else {},
            baseline=baseline.baseline_id,
            outputs=(
                Output(
                    topic=EMBEDDINGS,
                    key=event.request_id,
                    event=embedding,
                    source=origin.producer_id,
                    event_id=f"{origin.producer_id}/{origin.offset}",
                    time_ms=event.time_ms,
                ),
            ),
        )


@dataclass(frozen=True, slots=True)
class _Admitted:
    text: str
    truncated: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    admitted: _Admitted
    hits: tuple[str, ...]
    cells: tuple[str, ...]
    vector: Vectors
    projected: ProjectedVectors
    row: int


def _placed(
    baseline: DriftBaseline, segments: Sequence[Segment], projected: ProjectedVectors
) -> list[tuple[str, ...]]:
    """Return the cells of each request, by the bin edges of its segment's reference."""
    rows_of: dict[Segment, list[int]] = defaultdict(list)
    for row, segment in enumerate(segments):
        rows_of[segment].append(row)
    placed: list[tuple[str, ...]] = [()] * len(segments)
    for segment, rows in rows_of.items():
        found = nearest(baseline.references, segment.of_all_versions)
        bin_edges = baseline.bin_edges["" if found is None else found[0]]
        numbers = cells(baseline.projection, bin_edges, projected.of(rows)).tolist()
        for row, own in zip(rows, numbers, strict=True):
            placed[row] = tuple(
                cell_label(*index_points) for index_points in enumerate(own) if index_points[1] >= 0
            )
    return placed


def _left_out(baseline: DriftBaseline, reason: str) -> Measurement:
    """Return the measurement of a request that is not tested, with the reason."""
    return Measurement(baseline=baseline.baseline_id, progress={measures.skipped(reason): 1})
