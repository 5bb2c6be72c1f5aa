"""The drift worker's extractor: embeds requests and projects them with the active baseline."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tidegauge.detection.polya_urn import TOTAL
from tidegauge.detection.reference import nearest
from tidegauge.drift.baseline import DriftBaseline, UnitBaseline
from tidegauge.drift.descriptors import language
from tidegauge.drift.preparation import Preparation, prepare
from tidegauge.drift.projection import (
    EMBEDDED,
    ProjectedVectors,
    cell_label,
    cells,
    hits_of,
    project,
)
from tidegauge.drift.units import NotCounted, Unit, unit_of
from tidegauge.schemas import Segment, measures
from tidegauge.schemas.evaluations import EmbeddingEvent
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.hashing import unit_hash
from tidegauge.schemas.sketches import Exemplar, JudgeCondition, SketchKind
from tidegauge.schemas.topics import EMBEDDINGS
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.streaming.processor import Output, Partition

__all__ = ["NO_BASELINE", "NO_REFERENCE", "TRUNCATED", "CallerCap", "DriftExtractor", "Embeds"]

Vectors: TypeAlias = NDArray[np.float32]

NO_BASELINE = "no_baseline"
"""Notice: no drift baseline is active, requests are only counted."""
TRUNCATED = "truncated"
"""Total in the worker's progress: texts that were cut off."""
NO_REFERENCE = "no_reference"
"""Reason in the worker's progress: follow-ups that the baseline knows nothing of."""

_CALLER_WINDOWS = 64
"""Windows remembered in each partition: more than can be open at a time."""


class CallerCap:
    """Counts each caller's events by partition, window, segment and kind.

    A restart in the middle of a window resets its counts, so that the window may admit up to
    twice as many events.

    Args:
        window_ms: Length of a window of event time.
    """

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._seen: dict[Partition, OrderedDict[int, Counter[tuple[str, str, str]]]] = {}

    def admits(  # noqa: PLR0913 - an event's place, and how many are admitted
        self,
        partition: Partition,
        segment: Segment,
        customer: str,
        time_ms: int,
        *,
        most: int,
        kind: str = "",
    ) -> bool:
        """Count an event; return whether it is among the first ``most`` of its caller.

        Args:
            partition: The event's partition.
            segment: The event's segment.
            customer: The event's customer.
            time_ms: Event time.
            most: Most events of a caller in a window of a segment; 0 for any number.
            kind: Each kind of event has a cap of its own.
        """
        if most <= 0:
            return True
        windows = self._seen.setdefault(partition, OrderedDict())
        callers = windows.setdefault(time_ms // self._window_ms, Counter())
        caller = (segment.key, customer, kind)
        callers[caller] += 1
        while len(windows) > _CALLER_WINDOWS:
            windows.popitem(last=False)
        return callers[caller] <= most


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

    def conditions(self) -> tuple[JudgeCondition, ...]:
        """Return no conditions: it asks no judges."""
        return ()

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
        admitted = [one for one in found if isinstance(one, _Admitted)]
        vectors = self._embedder.embed([one.text for one in admitted])
        placed = iter(_placed(baseline, admitted, vectors))
        return [
            one
            if isinstance(one, Measurement)
            else self._measured(baseline, origin, one, next(placed))
            for (origin, _), one in zip(events, found, strict=True)
        ]

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
        unit = unit_of(event)
        admitted = self._callers.admits(
            origin.partition,
            event.segment,
            event.customer,
            event.time_ms,
            most=baseline.caller_cap,
            kind=unit if isinstance(unit, Unit) else "",
        )
        if not admitted:
            return _left_out(baseline, "caller_cap" if isinstance(unit, Unit) else unit)
        return _Admitted(event, unit, prepared.text, prepared.truncated)

    def _measured(
        self, baseline: DriftBaseline, origin: Origin, one: _Admitted, placed: _Placed | None
    ) -> Measurement:
        if placed is None:
            return _left_out(baseline, "no_vector")
        event = one.event
        embedding = EmbeddingEvent(
            request_id=event.request_id,
            producer_id=origin.producer_id,
            sequence=origin.offset + 1,
            time_ms=event.time_ms,
            segment=event.segment,
            baseline=baseline.baseline_id,
            embedder=baseline.embedder,
            cluster=placed.cluster,
            novelty=placed.novelty,
            vector=placed.vector.astype("<f2").tobytes() if self._publish_vectors else b"",
        )
        measured = Measurement(
            progress={TRUNCATED: 1} if one.truncated else {},
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
        reason = _untested(baseline, one.unit)
        if reason is not None:
            skipped = {**measured.progress, measures.skipped(reason): 1}
            return replace(measured, hits=placed.hits, progress=skipped)
        return replace(
            measured,
            hits=placed.hits,
            values={measures.NOVELTY: placed.novelty} if one.unit is Unit.OPENING else {},
            totals={TOTAL: dict.fromkeys(placed.cells, 1)},
            exemplar=Exemplar(
                request_id=event.request_id,
                rank=unit_hash(event.request_id),
                text="",
                customer=event.customer,
                value=placed.novelty,
            ),
        )


@dataclass(frozen=True, slots=True)
class _Admitted:
    """A request with a text to embed."""

    event: RequestEvent
    unit: Unit | NotCounted
    text: str
    truncated: bool


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where a request's vector lies, and what a sketch counts of it."""

    vector: Vectors
    cluster: int
    novelty: float
    hits: tuple[str, ...] = ()
    cells: tuple[str, ...] = ()


def _untested(baseline: DriftBaseline, unit: Unit | NotCounted) -> str | None:
    """Return why a request is not tested; None if it is."""
    if isinstance(unit, NotCounted):
        return unit
    return None if unit in baseline.units else NO_REFERENCE


def _placed(
    baseline: DriftBaseline, admitted: Sequence[_Admitted], vectors: Vectors
) -> list[_Placed | None]:
    """Return where each request lies; None for those without a finite vector."""
    usable = np.isfinite(vectors.sum(axis=1))
    rows_of: dict[Unit | None, list[int]] = defaultdict(list)
    for row in np.flatnonzero(usable).tolist():
        one = admitted[row]
        rows_of[one.unit if isinstance(one.unit, Unit) else None].append(row)
    placed: list[_Placed | None] = [None] * len(admitted)
    for unit, rows in rows_of.items():
        found = baseline.units.get(unit) if unit is not None else None
        projection = (found or baseline.openings).projection
        some = [admitted[row] for row in rows]
        texts = [one.text for one in some]
        projected = project(projection, texts, vectors[rows])
        hits: Sequence[tuple[str, ...]] = [()] * len(rows)
        in_cells: Sequence[tuple[str, ...]] = hits
        if found is not None:
            segments = [one.event.segment for one in some]
            hits = hits_of(projection, texts, projected)
            in_cells = _cells(found, segments, projected)
            if unit is Unit.OPENING and baseline.languages:
                hits, in_cells = _with_languages(
                    baseline, texts, segments, projected, (hits, in_cells)
                )
        elif unit is Unit.FOLLOWUP:
            # The monitor learns that there are follow-ups, and that nothing tests them.
            hits = [(measures.FOLLOWUPS + EMBEDDED,)] * len(rows)
        clusters, scores = projected.cluster.tolist(), projected.novelty.tolist()
        for i, row in enumerate(rows):
            placed[row] = _Placed(vectors[row], clusters[i], scores[i], hits[i], in_cells[i])
    return placed


def _with_languages(
    baseline: DriftBaseline,
    texts: Sequence[str],
    segments: Sequence[Segment],
    projected: ProjectedVectors,
    counted: tuple[Sequence[tuple[str, ...]], Sequence[tuple[str, ...]]],
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
    """Return the hits and cells of openings, and what each adds to its language's own counts."""
    hits, in_cells = map(list, counted)
    codes = [language(text) for text in texts]
    for code, known in baseline.languages.items():
        rows = [row for row, other in enumerate(codes) if other == code]
        if not rows:
            continue
        some = projected.of(rows)
        own_hits = hits_of(known.projection, [texts[row] for row in rows], some)
        own_cells = _cells(known, [segments[row] for row in rows], some)
        for row, of_hits, of_cells in zip(rows, own_hits, own_cells, strict=True):
            hits[row] += of_hits
            in_cells[row] += of_cells
    return hits, in_cells


def _cells(
    found: UnitBaseline, segments: Sequence[Segment], projected: ProjectedVectors
) -> list[tuple[str, ...]]:
    """Return the cells of each request, by the bin edges of its segment's reference."""
    rows_of: dict[Segment, list[int]] = defaultdict(list)
    for row, segment in enumerate(segments):
        rows_of[segment].append(row)
    prefix = found.projection.prefix
    in_cells: list[tuple[str, ...]] = [()] * len(segments)
    for segment, rows in rows_of.items():
        own = nearest(found.references, segment.of_all_versions)
        bin_edges = found.bin_edges["" if own is None else own[0]]
        numbers = cells(found.projection, bin_edges, projected.of(rows)).tolist()
        for row, of_row in zip(rows, numbers, strict=True):
            in_cells[row] = tuple(
                cell_label(prefix, division, cell)
                for division, cell in enumerate(of_row)
                if cell >= 0
            )
    return in_cells


def _left_out(baseline: DriftBaseline, reason: str) -> Measurement:
    """Return the measurement of a request that is not tested, with the reason."""
    return Measurement(baseline=baseline.baseline_id, progress={measures.skipped(reason): 1})
