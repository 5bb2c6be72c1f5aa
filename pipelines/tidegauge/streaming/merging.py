"""How sketches add up: the moments of numbers, samples of requests, exemplars, and whole sketches.

Merging is associative and commutative: exactly for counts, totals, extremes and histograms, up to
rounding for the sums of moments. So a sum does not depend on the number of workers, nor on
the order in which their sketches arrived.

The *sample* of a sketch is a bottom-k sample of its requests: of each the caller and the
indicators that held. The requests of least rank are kept. The rank is a hash of the request's id
and independent of its content and its caller: every request is equally likely to be sampled, and
a caller's share of the sampled requests with an indicator is an unbiased estimate of its share of
all requests with it. The least ranks of a union are among the least ranks of its parts, so a
sample depends neither on how the requests were divided nor on their order.

Source: bottom-k samples, Cohen and Kaplan, "Summarizing data using bottom-k sketches" (2007).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import TypeVar

from tidegauge.schemas.sketches import Exemplar, Histogram, Moments, Sampled, Sketch, SourceRange
from tidegauge.streaming import histogram
from tidegauge.streaming.errors import MergeError, ValueRangeError

__all__ = [
    "EXEMPLARS",
    "LARGEST",
    "MIXED",
    "NO_NUMBERS",
    "NO_OFFSET",
    "NO_PARTITION",
    "SAMPLE",
    "MomentsAccumulator",
    "SampleAccumulator",
    "least_ranked",
    "least_sampled",
    "mean",
    "merge_all",
    "merge_moments",
    "merge_sketches",
    "moments_of",
    "pooled_sample",
]

LARGEST = 1e100
"""Greatest absolute value accepted: sums of greater squares would overflow."""

NO_NUMBERS = Moments(n=0, total=0.0, squares=0.0, least=0.0, most=0.0)
"""The moments of no numbers; its extremes are meaningless."""

SAMPLE = 256
"""Number of requests in a sketch's sample: a change of 5% of them shows in 13 of the 256."""

_CALLER_CHARACTERS = 64
"""Length to which callers' names are cut: names that agree up to it count as one caller."""

_RANKS = 2**32
"""Number of ranks: few digits in JSON, and two sampled requests hardly ever share a rank."""

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
        moments=_united(a.moments, b.moments, merge_moments),
        histograms=_united(a.histograms, b.histograms, histogram.merge),
        totals=_united(a.totals, b.totals, _added),
        strata=_united(a.strata, b.strata, _merged),
        exemplars=_united(a.exemplars, b.exemplars, _least),
        sample=least_sampled((*a.sample, *b.sample)),
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


class MomentsAccumulator:
    """Adds numbers in place; ``moments()`` is its value."""

    __slots__ = ("_least", "_most", "_n", "_squares", "_total")

    def __init__(self, start: Moments = NO_NUMBERS) -> None:
        self._n = start.n
        self._total = start.total
        self._squares = start.squares
        self._least = start.least if start.n else math.inf
        self._most = start.most if start.n else -math.inf

    def add(self, value: float) -> None:
        """Add one number.

        Raises:
            ValueRangeError: It is not a number, or beyond ``LARGEST``.
        """
        if not -LARGEST <= value <= LARGEST:
            raise ValueRangeError(value)
        self._n += 1
        self._total += value
        self._squares += value * value
        self._least = min(self._least, value)
        self._most = max(self._most, value)

    def moments(self) -> Moments:
        """Return the moments of the numbers added so far."""
        if not self._n:
            return NO_NUMBERS
        return Moments(
            n=self._n,
            total=self._total,
            squares=self._squares,
            least=self._least,
            most=self._most,
        )


def moments_of(values: Iterable[float]) -> Moments:
    """Return the moments of some numbers.

    Raises:
        ValueRangeError: One is not a number, or beyond ``LARGEST``.

    Example:
        >>> mean(moments_of([1.0, 3.0]))
        2.0
    """
    accumulator = MomentsAccumulator()
    for value in values:
        accumulator.add(value)
    return accumulator.moments()


def merge_moments(a: Moments, b: Moments) -> Moments:
    """Return the moments of both sets of numbers together."""
    if not a.n:
        return b
    if not b.n:
        return a
    return Moments(
        n=a.n + b.n,
        total=a.total + b.total,
        squares=a.squares + b.squares,
        least=min(a.least, b.least),
        most=max(a.most, b.most),
    )


def mean(moments: Moments) -> float | None:
    """Return the mean, None for no numbers."""
    return moments.total / moments.n if moments.n else None


def least_sampled(sampled: Iterable[Sampled]) -> tuple[Sampled, ...]:
    """Return the ``SAMPLE`` requests of least rank, each once, in order of rank.

    Example:
        >>> once, twice = Sampled(7, "acme", ("odd",)), Sampled(3, "globex", ())
        >>> [found.rank for found in least_sampled([once, twice, twice])]
        [3, 7]
    """
    kept: dict[int, Sampled] = {}
    for found in sorted(sampled):
        if kept.setdefault(found.rank, found) is found and len(kept) == SAMPLE:
            break
    return tuple(kept.values())


def pooled_sample(samples: Iterable[Sequence[Sampled]]) -> tuple[Sampled, ...]:
    """Return one sample of the requests of several sketches, as large as they allow.

    A full sample lacks the requests above its highest rank. Below the least of these highest
    ranks all samples are complete, so the requests there are again a sample of least ranks.
    Where the samples cover equal amounts of traffic it holds nearly all their requests.

    Args:
        samples: Each in order of rank, as ``least_sampled`` returns it.
    """
    found = list(samples)
    limit = min((sample[-1].rank for sample in found if len(sample) >= SAMPLE), default=_RANKS)
    return tuple({one.rank: one for sample in found for one in sample if one.rank < limit}.values())


class SampleAccumulator:
    """Samples requests in place; ``sample()`` is its value.

    Args:
        start: A sample to continue.
    """

    __slots__ = ("_found", "_highest")

    def __init__(self, start: Iterable[Sampled] = ()) -> None:
        self._found = list(start)
        self._highest = _RANKS

    def add(self, rank: float, customer: str, shows: tuple[str, ...]) -> None:
        """Sample a request.

        Args:
            rank: Hash of the request's id, in [0, 1).
            customer: The request's caller.
            shows: Indicators that hold for the request.
        """
        place = int(rank * _RANKS)
        if place > self._highest:
            return
        self._found.append(Sampled(place, customer[:_CALLER_CHARACTERS], shows))
        if len(self._found) > 2 * SAMPLE:
            self._found = list(least_sampled(self._found))
            if len(self._found) == SAMPLE:
                self._highest = self._found[-1].rank

    def sample(self) -> tuple[Sampled, ...]:
        """Return the sample."""
        return least_sampled(self._found)
