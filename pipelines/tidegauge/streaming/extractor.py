"""Extractors: what each kind of worker measures of an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Exemplar, JudgeCondition, SketchKind
from tidegauge.streaming.processor import Output, Partition
from tidegauge.streaming.upstream_work import WorkPiece

__all__ = ["Extractor", "MeasuredSession", "Measurement", "Origin", "SessionExtractor", "Sessions"]

E = TypeVar("E", RequestEvent, ResponseEvent)
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event was read, and by which producer it is measured.

    Attributes:
        producer_id: ``group/topic-partition``, the producer of events derived from this one.
        partition: The event's partition.
        offset: The event's offset in the partition.
    """

    producer_id: str
    partition: Partition
    offset: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """The contribution of one event to its segment's window.

    Attributes:
        counted: Whether the event is counted in a sketch.
        hits: Indicators that held for the event.
        trials: Indicators evaluated for this event, of those that are not evaluated for every
            event; for an indicator that no event ever lists here, all events of the sketch
            are trials.
        values: Numbers, each added to the moments and the histogram of its name.
        totals: Name -> label -> whole number to add, such as nano-dollars by customer.
        strata: (number's name, stratum, number), each added to the stratum's histogram.
        exemplar: The request: a candidate, by rank, for the exemplars of the indicators in
            ``hits`` and for the sketch's sample.
        examples: (name, request), each a candidate, by rank, for the exemplars of its name.
        progress: Name -> whole number to add to the partition's totals since the group began.
        baseline: Id of the baseline that the indicators refer to, empty for none.
        outputs: Events to publish besides the sketch.
        work: What the event's exchange asked of its upstream, by minute.
    """

    counted: bool = True
    hits: tuple[str, ...] = ()
    trials: tuple[str, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    totals: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    strata: tuple[tuple[str, str, float], ...] = ()
    exemplar: Exemplar | None = None
    examples: tuple[tuple[str, Exemplar], ...] = ()
    progress: Mapping[str, int] = field(default_factory=dict)
    baseline: str = ""
    outputs: tuple[Output, ...] = ()
    work: tuple[WorkPiece, ...] = ()


class Extractor(Protocol[E]):
    """Measures events for a ``SketchingProcessor``.

    ``measure`` may block (it embeds texts or calls a judge): it does not run on the thread
    that polls the consumer. It must not raise because of an event's content: for an event that
    cannot be measured fully it returns a ``Measurement`` with the known values.
    """

    @property
    def kind(self) -> SketchKind:
        """Kind of worker that the extractor belongs to."""

    @property
    def reads(self) -> type[E]:
        """Type of the events to measure."""

    def measure(self, events: Sequence[tuple[Origin, E]]) -> Sequence[Measurement]:
        """Return one ``Measurement`` for each event, in the same order."""

    def notices(self) -> tuple[str, ...]:
        """Return short codes of states worth showing, such as ``unqualified:helpfulness``."""

    def conditions(self) -> tuple[JudgeCondition, ...]:
        """Return the judges that do not work, if it asks judges."""


class Sessions(Protocol[S]):
    """The open sessions of one partition: events of a key, up to a gap of inactivity.

    They are a part of the partition's state, so they survive restarts and handovers.
    """

    def add(self, event: ResponseEvent, offset: int) -> Mapping[str, int]:
        """Add an event to its session; return what to count in the partition's totals."""

    def ended(self, closed_ms: int, most: int) -> Sequence[S]:
        """Return sessions that have ended by this event time, ``most`` at most."""

    def remove(self, ended: Sequence[S]) -> None:
        """Drop sessions that were measured."""

    def state(self) -> bytes:
        """Return the state as plain, versioned data."""


@dataclass(frozen=True, slots=True)
class MeasuredSession:
    """The contribution of one session to its segment's window.

    Attributes:
        segment: The session's slice of the traffic.
        offset: Offset of its last event, which exemplars refer to.
        measurement: What it adds; it adds no event.
    """

    segment: Segment
    offset: int
    measurement: Measurement


class SessionExtractor(Protocol[S]):
    """Measures sessions that have ended, for a ``SketchingProcessor``."""

    def open(self, state: bytes) -> Sessions[S]:
        """Return a partition's sessions, from their last state; empty for none."""

    def measure(
        self, ended: Sequence[tuple[Origin, S]]
    ) -> Sequence[MeasuredSession | Mapping[str, int]]:
        """Return what each session adds, or what to count of one that cannot be measured.

        It returns nothing at all if they have to wait: they are passed again then. An origin's
        offset is that of the partition's last record.
        """
