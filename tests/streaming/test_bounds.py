"""What one event, or many, can make of a sketch."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from tests.streaming.lengths import LengthExtractor, request

from tidegauge.schemas import Segment, encode
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.measures import OTHER_LABEL
from tidegauge.schemas.segments import NAME_CHARACTERS
from tidegauge.schemas.sketches import Exemplar, Progress, Sketch
from tidegauge.schemas.topics import REQUESTS
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.streaming.merging import merge_all
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition, Record
from tidegauge.streaming.progress import REFUSED_VALUES
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.streaming.splitting import SKETCH_BYTES, split
from tidegauge.streaming.window import (
    MOST_LABELS,
    MOST_NAMES,
    SketchOrigin,
    Window,
    WindowKey,
)

PARTITION = Partition(REQUESTS.name, 0)
NOW = 10_000_000
LIMIT = 1_000_000


class Scripted(LengthExtractor):
    """Measures events as it is told, by their sequence."""

    def __init__(self, measurements: Sequence[Measurement]) -> None:
        super().__init__()
        self._measurements = measurements

    def measure(self, events: Sequence[tuple[Origin, RequestEvent]]) -> Sequence[Measurement]:
        return [self._measurements[event.sequence - 1] for _, event in events]


def sketched(
    measurements: Sequence[Measurement], segments: Sequence[Segment] = ()
) -> tuple[list[Sketch], Progress]:
    """Return the sketches of events within one window, and the progress after them."""
    worker = SketchingProcessor(Scripted([*measurements, Measurement()]), "drift", SketchSettings())
    worker.assign(PARTITION, None)
    events = [
        request(
            number + 1,
            time_ms=101_000,
            segment=segments[number] if segments else Segment(model="m"),
        )
        for number in range(len(measurements))
    ]
    events.append(request(len(events) + 1, time_ms=900_000))
    records = [Record(PARTITION, offset, encode(event)) for offset, event in enumerate(events)]
    found = [output.event for output in worker.process(records, NOW).outputs]
    for event in found:
        assert len(msgspec.json.encode(event)) < LIMIT
    sequences = [event.sequence for event in found if isinstance(event, Sketch | Progress)]
    assert sequences == list(range(1, len(sequences) + 1))
    assert len(worker.snapshot(PARTITION)) < 50 * LIMIT
    (progress,) = [event for event in found if isinstance(event, Progress)]
    return [event for event in found if isinstance(event, Sketch)], progress


def names(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}/{number}" for number in range(count))


def test_ten_thousand_checks_of_one_event_are_refused_and_the_event_is_counted() -> None:
    odd = names("failed", 10_000)
    fine = Measurement(hits=("failed/json",), trials=("failed/json",), values={"latency_ms": 5.0})
    (sketch,), progress = sketched(
        [fine, Measurement(hits=odd, trials=odd, values={"latency_ms": 7.0}), fine]
    )
    assert (sketch.events, sketch.hits, sketch.trials) == (
        3,
        {"failed/json": 2},
        {"failed/json": 2},
    )
    assert sketch.moments["latency_ms"].n == 3
    assert progress.totals[REFUSED_VALUES] == 20_000


def test_checks_of_many_events_are_bounded_and_no_hit_lacks_its_trials() -> None:
    many = [
        Measurement(hits=checks[:50], trials=checks)
        for checks in (names(f"failed/{event}", 100) for event in range(40))
    ]
    sketches, _ = sketched(many)
    whole = merge_all(sketches)
    assert whole is not None
    assert len(whole.trials) == MOST_NAMES
    assert set(whole.hits) <= set(whole.trials)
    assert sum(whole.trials.values()) == MOST_NAMES


def test_what_is_looked_at_follows_the_names_in_use() -> None:
    worker = SketchingProcessor(
        Scripted([Measurement(trials=names(f"failed/{window}", 100)) for window in range(30)]),
        "drift",
        SketchSettings(),
    )
    worker.assign(PARTITION, None)
    last: Sketch | None = None
    for number in range(30):
        event = request(number + 1, time_ms=100_000 * (number + 1))
        outcome = worker.process([Record(PARTITION, number, encode(event))], NOW)
        last = next((o.event for o in outcome.outputs if isinstance(o.event, Sketch)), last)
    assert last is not None
    assert len(last.trials) <= MOST_NAMES + 100
    assert {name: n for name, n in last.trials.items() if n} == dict.fromkeys(
        names("failed/28", 100), 1
    )


def test_long_names_are_cut_and_stay_apart() -> None:
    long = [Measurement(totals={"cost": {"c" * 5_000 + str(n): 1}}) for n in range(2)]
    segments = [Segment(model="m" * 900_000 + str(n), customer="é" * 3_000) for n in range(2)]
    sketches, _ = sketched(long, segments)
    assert len({sketch.segment for sketch in sketches}) == 2
    for sketch in sketches:
        assert len(sketch.segment.model) == len(sketch.segment.customer) == NAME_CHARACTERS
        assert all(len(label) <= NAME_CHARACTERS for label in sketch.totals["cost"])
    assert Segment(model="m").bounded == Segment(model="m")


def test_customers_beyond_the_bound_are_added_up_together() -> None:
    count = MOST_LABELS + 10
    sketches, _ = sketched([Measurement(totals={"cost": {f"c{n}": 2}}) for n in range(count)])
    whole = merge_all(sketches)
    assert whole is not None
    assert len(whole.totals["cost"]) == MOST_LABELS + 1
    assert whole.totals["cost"][OTHER_LABEL] == 20
    assert sum(whole.totals["cost"].values()) == 2 * count


def test_counts_below_zero_are_refused() -> None:
    (sketch,), progress = sketched(
        [Measurement(totals={"tokens": {"acme": -1_000_000}}), Measurement()]
    )
    assert not any(sketch.totals.get("tokens", {}).values())
    assert progress.totals[REFUSED_VALUES] == 1


def long_sketch() -> Sketch:
    """Return a sketch of many indicators, numbers, customers and long exemplars."""
    window = Window(0.01, 0)
    shown = names("indicator", 200)
    for event in range(600):
        window.add(
            Measurement(
                hits=shown,
                trials=shown,
                values={f"number/{n}": float(event * n + 1) for n in range(100)},
                totals={"cost": {f"customer-{event}": event}, "tokens": {"acme": 1}},
                strata=tuple(("number/1", f"stratum-{n}", float(event)) for n in range(5)),
                exemplar=Exemplar(
                    request_id=f"r{event}",
                    rank=event / 600,
                    text="",
                    customer=f"customer-{event}",
                ),
            ),
            event,
            late=event % 2 == 0,
        )
    return window.sketch(
        WindowKey(100_000, Segment(model="m"), "b"),
        SketchOrigin("drift", "drift/requests.v1-0", PARTITION, 10_000),
        sequence=1,
        looked_at=(),
    )


@pytest.mark.parametrize("most_bytes", [60_000, 200_000, SKETCH_BYTES])
def test_the_parts_of_a_long_sketch_are_short_and_add_up_to_it(most_bytes: int) -> None:
    sketch = long_sketch()
    assert len(encode(sketch)) > SKETCH_BYTES
    parts = list(split(sketch, most_bytes))
    assert all(len(encode(part)) <= most_bytes for part in parts)
    assert len(parts) <= 2 + 2 * len(encode(sketch)) // most_bytes
    assert merge_all(parts) == merge_all([sketch])
    assert [part.events for part in parts[1:]] == [0] * (len(parts) - 1)


def test_a_short_sketch_is_left_as_it_is() -> None:
    (sketch,), _ = sketched([Measurement(hits=("odd",))])
    assert list(split(sketch)) == [sketch]
