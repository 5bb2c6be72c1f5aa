"""Merging sketches, over partitions and over windows.

Merging is associative and commutative: exactly for counts, totals and histograms, up to
rounding for the sums of moments. So a sum does not depend on the number of workers, nor on
the order in which their sketches arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import TypeVar

from tidegauge.schemas.sketches import Exemplar, Histogram, Sketch, SourceRange
from tidegauge.streaming import bottom_k, histogram, moments
from tidegauge.streaming.errors import MergeError

__all__ = [
    "EXEMPLARS",
    "MIXED",
    "NO_OFFSET",
    "NO_PARTITION",
    "least_ranked",
    "merge_all",
    "merge_sketches",
]

EXEMPLARS = 5
"""Number of exemplars kept for an indicator."""

MIXED = "*"
"""Stands for a name (producer, topic, baseline) in which the merged sketches differ."""

NO_PARTITION = -1
"""Stands for the partition of sketches that cover several."""

NO_OFFSET = -1
"""Stands for the offsets of sketches that cover several partitions."""

V = TypeVar("V")


def merge_sketches(a: Sketch, b: Sketch) -> Sketch:
    """Add two sketches of one kind and segment.

    The sum spans both windows. Where producers, partitions or baselines differ, the sum has
    ``MIXED`` or ``NO_PARTITION``; indicators of mixed baselines cannot be tested, so a test
    compares ``baseline`` with its own first. If only one side lists an indicator in ``trials``,
    the other side adds no trials to it.

    Raises:
        MergeError: Kinds or segments differ, or histograms of one number have two accuracies.
    """
    if a.kind != b.kind:
        raise MergeError("the sketches' kind", a.kind, b.kind)
    if a.segment != b.segment:
        raise MergeError("the sketches' segment", a.segment.key, b.segment.key)
    start = min(a.window_start_ms, b.window_start_ms)
    end = max(a.window_start_ms + a.window_ms, b.window_start_ms + b.window_ms)
    return Sketch(
        kind=a.kind,
        producer_id=_same(a.producer_id, b.producer_id),
        sequence=max(a.sequence, b.sequence),
        segment=a.segment,
        window_start_ms=start,
        window_ms=end - start,
        source=_span(a.source, b.source),
        baseline=_same(a.baseline, b.baseline),
        events=a.events + b.events,
        late=a.late + b.late,
        hits=_united(a.hits, b.hits, int.__add__),
        trials=_united(a.trials, b.trials, int.__add__),
        moments=_united(a.moments, b.moments, moments.merge),
        histograms=_united(a.histograms, b.histograms, histogram.merge),
        totals=_united(a.totals, b.totals, _added),
        strata=_united(a.strata, b.strata, _merged),
        exemplars=_united(a.exemplars, b.exemplars, _least),
        sample=bottom_k.least((*a.sample, *b.sample)),
    )


def merge_all(sketches: Iterable[Sketch]) -> Sketch | None:
    """Add any number of sketches of one kind and segment; None for none.

    Raises:
        MergeError: See ``merge_sketches``.
    """
    found = list(sketches)
    return reduce(merge_sketches, found) if found else None


def least_ranked(exemplars: Iterable[Exemplar]) -> tuple[Exemplar, ...]:
    """Keep the ``EXEMPLARS`` requests of least rank, each once, in order of rank."""
    kept: dict[str, Exemplar] = {}
    for exemplar in sorted(exemplars, key=_order):
        kept.setdefault(exemplar.request_id, exemplar)
        if len(kept) == EXEMPLARS:
            break
    return tuple(kept.values())


def _order(exemplar: Exemplar) -> tuple[float, str, str, float]:
    return (
        exemplar.rank,
        exemplar.request_id,
        exemplar.customer,
        exemplar.value or 0.0,
    )


def _least(a: tuple[Exemplar, ...], b: tuple[Exemplar, ...]) -> tuple[Exemplar, ...]:
    return least_ranked((*a, *b))


def _added(a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
    return _united(a, b, int.__add__)


def _merged(a: dict[str, Histogram], b: dict[str, Histogram]) -> dict[str, Histogram]:
    return _united(a, b, histogram.merge)


def _same(a: str, b: str) -> str:
    return a if a == b else MIXED


def _span(a: SourceRange, b: SourceRange) -> SourceRange:
    topic = _same(a.topic, b.topic)
    if topic == MIXED or a.partition != b.partition or a.partition == NO_PARTITION:
        return SourceRange(
            topic=topic, partition=NO_PARTITION, first_offset=NO_OFFSET, last_offset=NO_OFFSET
        )
    return SourceRange(
        topic=topic,
        partition=a.partition,
        first_offset=min(a.first_offset, b.first_offset),
        last_offset=max(a.last_offset, b.last_offset),
    )


def _united(a: Mapping[str, V], b: Mapping[str, V], add: Callable[[V, V], V]) -> dict[str, V]:
    names = sorted(a.keys() | b.keys())
    return {
        name: add(a[name], b[name])
        if name in a and name in b
        else a[name]
        if name in a
        else b[name]
        for name in names
    }
