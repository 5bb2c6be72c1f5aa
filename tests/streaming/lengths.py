"""Parts for tests of workers: events, a simple extractor, and a reader that drops duplicates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from tidegauge.schemas import Topic, cloud_event_headers, decode, encode
from tidegauge.schemas.exchange import Message, RequestEvent
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Exemplar, JudgeCondition, Progress, Sketch, SketchKind
from tidegauge.schemas.topics import REQUESTS
from tidegauge.streaming.checkpoints import EncodedRecord
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.streaming.processor import Record

__all__ = ["LengthExtractor", "Received", "encoded_request", "request"]


def request(
    sequence: int,
    *,
    time_ms: int,
    producer_id: str = "gateway/1",
    segment: Segment | None = None,
    text: str = "How high is the tide?",
) -> RequestEvent:
    """Return a request event with a producer's next sequence."""
    return RequestEvent(
        request_id=f"{producer_id}-{sequence}",
        producer_id=producer_id,
        sequence=sequence,
        time_ms=time_ms,
        segment=segment or Segment(model="m", version="v1", route="/chat"),
        customer="acme",
        messages=(Message(role="user", content=text),),
        prompt_characters=len(text),
    )


def encoded_request(event: RequestEvent, topic: Topic = REQUESTS) -> EncodedRecord:
    """Return a request as the record that a gateway publishes."""
    return EncodedRecord(
        topic=topic.name,
        key=event.key.encode(),
        value=encode(event),
        headers=tuple(
            cloud_event_headers(
                event_id=event.request_id,
                kind=RequestEvent,
                source=event.producer_id,
                time_ms=event.time_ms,
            )
        ),
    )


class LengthExtractor:
    """Measures the length of prompts.

    Attributes:
        measured: Number of times that each request was measured, by its id.
    """

    def __init__(self, before: Callable[[Sequence[RequestEvent]], None] | None = None) -> None:
        self.measured: Counter[str] = Counter()
        self._before = before

    @property
    def kind(self) -> SketchKind:
        """``drift``, the kind of worker that reads requests."""
        return "drift"

    @property
    def reads(self) -> type[RequestEvent]:
        """Requests."""
        return RequestEvent

    def measure(self, events: Sequence[tuple[Origin, RequestEvent]]) -> Sequence[Measurement]:
        """Count odd lengths, sum up lengths."""
        if self._before:
            self._before([event for _, event in events])
        self.measured.update(event.request_id for _, event in events)
        return [self._one(event) for _, event in events]

    def _one(self, event: RequestEvent) -> Measurement:
        length = event.prompt_characters
        return Measurement(
            hits=("odd",) if length % 2 else (),
            values={"length": float(length)},
            strata=(("length", f"{length % 3}/0/0/0", float(length)),),
            totals={"characters": {event.customer: length}},
            exemplar=Exemplar(
                request_id=event.request_id,
                rank=(event.sequence * 0.618) % 1,
                text=event.messages[0].content if event.messages else "",
                customer=event.customer,
            ),
            progress={"looked_at": 1},
        )

    def conditions(self) -> tuple[JudgeCondition, ...]:
        """Return no conditions: it asks no judges."""
        return ()

    def notices(self) -> tuple[str, ...]:
        """Return no notices."""
        return ()


class Received:
    """The state of a reader of ``sketches.v1``, which drops duplicates by producer and sequence.

    Attributes:
        sketches: Sketches, without duplicates.
        progress: Last progress of each producer.
        repeats: Events dropped.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.sketches: list[Sketch] = []
        self.progress: dict[str, Progress] = {}
        self.repeats = 0
        self._last: dict[str, int] = defaultdict(int)
        self.take(records)

    def take(self, records: Iterable[Record]) -> None:
        """Read further records."""
        for record in records:
            event: Sketch | Progress = decode(record.value, Sketch, Progress)
            if event.sequence <= self._last[event.producer_id]:
                self.repeats += 1
                continue
            self._last[event.producer_id] = event.sequence
            if isinstance(event, Sketch):
                self.sketches.append(event)
            else:
                self.progress[event.producer_id] = event

    def events(self) -> Counter[tuple[str, int]]:
        """Return how many events were counted, by segment key and window start."""
        found: Counter[tuple[str, int]] = Counter()
        for sketch in self.sketches:
            found[sketch.segment.key, sketch.window_start_ms] += sketch.events
        return found

    def processed(self) -> Counter[str]:
        """Return how many events of each gateway were processed."""
        found: Counter[str] = Counter()
        for progress in self.progress.values():
            for producer_id, tally in progress.tallies.items():
                found[producer_id] += tally.processed
        return found
