"""Extractors: what each kind of worker measures of an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.sketches import Exemplar, SketchKind
from tidegauge.streaming.processor import Output, Partition

__all__ = ["Extractor", "Measurement", "Origin"]

E = TypeVar("E", RequestEvent, ResponseEvent)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event was read, and by which producer it is measured.

    Attributes:
        producer_id: ``group/topic-partition``, for events derived from it.
        partition: The event's partition.
        offset: Its offset there.
    """

    producer_id: str
    partition: Partition
    offset: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one event adds to its segment's window.

    Attributes:
        counted: Whether the event enters a sketch at all.
        hits: Indicators that held for it.
        trials: Indicators that were looked at, of those that are not looked at for every
            event; an indicator in ``hits`` that no event ever lists here counts against
            all events of the sketch.
        values: Numbers, each added to the moments and the histogram of its name.
        totals: Name -> label -> whole number to add, such as nano-dollars by customer.
        exemplar: The request, kept for the indicators in ``hits`` while its rank is low, and
            in the sample of all that have one.
        progress: Name -> whole number to add to the partition's totals since the group began.
        baseline: Id of the baseline that the indicators refer to, empty for none.
        outputs: Events to publish besides the sketch.
    """

    counted: bool = True
    hits: tuple[str, ...] = ()
    trials: tuple[str, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    totals: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    exemplar: Exemplar | None = None
    progress: Mapping[str, int] = field(default_factory=dict)
    baseline: str = ""
    outputs: tuple[Output, ...] = ()


class Extractor(Protocol[E]):
    """Measures events; ``SketchingProcessor`` does the rest.

    ``measure`` may block (it embeds, or asks a judge); the loop calls it off the thread
    that keeps the consumer alive. It may not raise for an event's content: an event that
    cannot be measured is ``Measurement`` with what is known.
    """

    @property
    def kind(self) -> SketchKind:
        """Which worker this is."""

    @property
    def reads(self) -> type[E]:
        """The type of event that it measures."""

    def measure(self, events: Sequence[tuple[Origin, E]]) -> Sequence[Measurement]:
        """Return one ``Measurement`` for each event, in the same order."""

    def notices(self) -> tuple[str, ...]:
        """Return short codes of states worth showing, such as ``unqualified:rubric``."""
