"""One segment's window of event time while it is open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from tidegauge.schemas.measures import OTHER_LABEL
from tidegauge.schemas.segments import NAME_CHARACTERS, Segment, cut
from tidegauge.schemas.sketches import Exemplar, Sketch, SketchKind, SourceRange
from tidegauge.streaming import histogram
from tidegauge.streaming.extractor import Measurement
from tidegauge.streaming.merging import (
    EXEMPLARS,
    LARGEST,
    MomentsAccumulator,
    SampleAccumulator,
    least_ranked,
)
from tidegauge.streaming.processor import Partition

__all__ = [
    "MOST_INDICATORS",
    "MOST_LABELS",
    "MOST_NAMES",
    "SketchOrigin",
    "Window",
    "WindowKey",
]

MOST_INDICATORS = 256
"""Most indicators of one event; an event with more has none."""

MOST_NAMES = 1_024
"""Most indicators, numbers and totals of a window, of each."""

MOST_LABELS = 2_048
"""Labels, such as customers, with a number of their own in one total of a window."""

_LARGEST_TOTAL = 2**62
"""Largest total: readers in other languages hold integers in 64 bits."""


@dataclass(frozen=True, slots=True, order=True)
class WindowKey:
    """A window's identity: indicators of two baselines are never counted together.

    Attributes:
        start_ms: Start of the window.
        segment: Slice of the traffic.
        baseline: Id of the baseline that the indicators refer to.
    """

    start_ms: int
    segment: Segment
    baseline: str


@dataclass(frozen=True, slots=True)
class SketchOrigin:
    """The fields that all sketches of one worker's partition share.

    Attributes:
        kind: Kind of worker.
        producer_id: ``group/topic-partition``.
        partition: Partition of the records.
        window_ms: Length of a window.
    """

    kind: SketchKind
    producer_id: str
    partition: Partition
    window_ms: int


class _Number:
    __slots__ = ("histogram", "moments")

    def __init__(self, start: histogram.HistogramAccumulator, moments_: MomentsAccumulator) -> None:
        self.histogram = start
        self.moments = moments_


class Window:
    """Counts events in place; ``sketch()`` is its value."""

    __slots__ = (
        "_accuracy",
        "_events",
        "_exemplars",
        "_first_offset",
        "_hits",
        "_last_offset",
        "_late",
        "_numbers",
        "_sample",
        "_strata",
        "_totals",
        "_trials",
    )

    def __init__(self, accuracy: float, first_offset: int) -> None:
        self._accuracy = accuracy
        self._first_offset = first_offset
        self._last_offset = first_offset
        self._events = 0
        self._late = 0
        self._hits: dict[str, int] = {}
        self._trials: dict[str, int] = {}
        self._numbers: dict[str, _Number] = {}
        self._totals: dict[str, dict[str, int]] = {}
        self._strata: dict[str, dict[str, histogram.HistogramAccumulator]] = {}
        self._exemplars: dict[str, tuple[Exemplar, ...]] = {}
        self._sample = SampleAccumulator()

    @classmethod
    def resumed(cls, sketch: Sketch, accuracy: float) -> Window:
        """Return a window that continues the sketch of an open window."""
        window = cls(accuracy, sketch.source.first_offset)
        window._last_offset = sketch.source.last_offset
        window._events = sketch.events
        window._late = sketch.late
        window._hits = dict(sketch.hits)
        window._trials = dict(sketch.trials)
        window._numbers = {
            name: _Number(
                histogram.HistogramAccumulator(sketch.histograms[name]),
                MomentsAccumulator(found),
            )
            for name, found in sketch.moments.items()
        }
        window._totals = {name: dict(labels) for name, labels in sketch.totals.items()}
        window._strata = {
            name: {s: histogram.HistogramAccumulator(found) for s, found in by_stratum.items()}
            for name, by_stratum in sketch.strata.items()
        }
        window._exemplars = dict(sketch.exemplars)
        window._sample = SampleAccumulator(sketch.sample)
        return window

    def add(self, measured: Measurement, offset: int, *, late: bool, events: int = 1) -> int:
        """Count one event, or what is no event of its own.

        Returns:
            Number of the event's values left out: infinite, not a number, too large to sum,
            counts below 0, or with a name beyond the bounds.
        """
        self._last_offset = max(self._last_offset, offset)
        self._events += events
        self._late += late
        hits: Iterable[str] = measured.hits
        refused = _count(self._trials, measured.trials)
        if refused:  # a hit without its trial would count every event as one
            hits = [n for n in hits if n in self._trials or n not in measured.trials]
        refused += _count(self._hits, hits)
        for name, value in measured.values.items():
            if not -LARGEST <= value <= LARGEST or not self._number(name, value):
                refused += 1
        for name, labels in measured.totals.items():
            refused += self._total(name, labels)
        for name, stratum, value in measured.strata:
            self._in_stratum(name, stratum, value)
        if measured.exemplar is not None:
            self._show(measured.exemplar, measured.hits)
            self._sample.add(
                measured.exemplar.rank,
                measured.exemplar.customer,
                tuple(name for name in measured.hits if name in self._hits),
            )
        for name, exemplar in measured.examples:
            if _admits(self._exemplars, name):
                self._keep(name, exemplar)
        return refused

    @property
    def trials(self) -> Iterable[str]:
        """Indicators that are not evaluated for every event."""
        return self._trials

    def _number(self, name: str, value: float) -> bool:
        """Add a number; return whether its name is within the bounds."""
        number = self._numbers.get(name)
        if number is None:
            if not _admits(self._numbers, name):
                return False
            number = self._numbers[name] = _Number(
                histogram.HistogramAccumulator(histogram.empty(self._accuracy)),
                MomentsAccumulator(),
            )
        number.moments.add(value)
        number.histogram.add(value)
        return True

    def _total(self, name: str, labels: Mapping[str, int]) -> int:
        """Add amounts to a total; return the number of amounts that are left out."""
        total = self._totals.get(name)
        if total is None:
            if not _admits(self._totals, name):
                return len(labels)
            total = self._totals[name] = {}
        refused = 0
        for given, amount in labels.items():
            label = given if given in total else _label(total, given)
            added = total.get(label, 0) + amount
            if amount >= 0 and added <= _LARGEST_TOTAL:
                total[label] = added
            else:
                refused += 1
        return refused

    def _in_stratum(self, name: str, stratum: str, value: float) -> None:
        by_stratum = self._strata.setdefault(name, {})
        found = by_stratum.get(stratum)
        if found is None:
            empty = histogram.empty(self._accuracy)
            found = by_stratum[stratum] = histogram.HistogramAccumulator(empty)
        found.add(value)

    def _show(self, exemplar: Exemplar, hits: Iterable[str]) -> None:
        for name in hits:
            if name in self._hits:  # within the bounds
                self._keep(name, exemplar)

    def _keep(self, name: str, exemplar: Exemplar) -> None:
        kept = self._exemplars.get(name, ())
        if len(kept) < EXEMPLARS or exemplar.rank < kept[-1].rank:
            self._exemplars[name] = least_ranked((*kept, _bounded(exemplar)))

    def sketch(
        self, key: WindowKey, origin: SketchOrigin, *, sequence: int, looked_at: Iterable[str]
    ) -> Sketch:
        """Return the counts so far as a sketch.

        Args:
            key: The window's identity.
            origin: Worker and partition.
            sequence: Number of the sketch among the producer's events.
            looked_at: Indicators that are not evaluated for every event: the sketch has their
                trials even where these are 0.
        """
        numbers = dict(sorted(self._numbers.items()))
        return Sketch(
            kind=origin.kind,
            producer_id=origin.producer_id,
            sequence=sequence,
            segment=key.segment,
            window_start_ms=key.start_ms,
            window_ms=origin.window_ms,
            source=SourceRange(
                topic=origin.partition.topic,
                partition=origin.partition.index,
                first_offset=self._first_offset,
                last_offset=self._last_offset,
            ),
            baseline=key.baseline,
            events=self._events,
            late=self._late,
            hits=dict(sorted(self._hits.items())),
            trials={
                name: self._trials.get(name, 0) for name in sorted({*looked_at, *self._trials})
            },
            moments={name: number.moments.moments() for name, number in numbers.items()},
            histograms={name: number.histogram.histogram() for name, number in numbers.items()},
            totals={
                name: dict(sorted(labels.items())) for name, labels in sorted(self._totals.items())
            },
            strata={
                name: {s: found.histogram() for s, found in sorted(by_stratum.items())}
                for name, by_stratum in sorted(self._strata.items())
            },
            exemplars=dict(sorted(self._exemplars.items())),
            sample=self._sample.sample(),
        )


def _count(counts: dict[str, int], names: Iterable[str]) -> int:
    """Add one to each name's count; return the number of names beyond the bounds."""
    refused = 0
    for name in names:
        found = counts.get(name, 0)
        if found or _admits(counts, name):
            counts[name] = found + 1
        else:
            refused += 1
    return refused


def _admits(found: Mapping[str, object], name: str) -> bool:
    return name in found or (len(found) < MOST_NAMES and len(name) <= NAME_CHARACTERS)


def _label(total: Mapping[str, int], label: str) -> str:
    """Return the label under which a new one's amounts are added up."""
    found = cut(label)
    return found if found in total or len(total) < MOST_LABELS else OTHER_LABEL


def _bounded(exemplar: Exemplar) -> Exemplar:
    """Return an exemplar whose names are cut, without texts."""
    return msgspec.structs.replace(
        exemplar,
        request_id=cut(exemplar.request_id),
        customer=cut(exemplar.customer),
        text="",
        context="",
        answer="",
        reason="",
    )
