"""Work is merged exactly, however it is divided; a worker publishes each piece once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.streaming.lengths import LengthExtractor, request

from tidegauge.schemas import decode, encode
from tidegauge.schemas.exchange import RequestEvent
from tidegauge.schemas.topics import REQUESTS
from tidegauge.schemas.upstream_events import MINUTE_MS, UpstreamWork, WorkAmounts
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Partition, ProcessingResult, Record
from tidegauge.streaming.progress import REFUSED_VALUES
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.streaming.upstream_work import SLOTS, WorkAccumulator, WorkPiece

PARTITION = Partition(REQUESTS.name, 0)
SETTINGS = SketchSettings(window_ms=10_000, lateness_ms=20_000, idle_ms=30_000)
ONE_REQUEST = WorkAmounts(requests=1)

SLOTS_FROM = st.integers(0, SLOTS - 1).map(lambda slot: 0b1011 << slot & (1 << SLOTS) - 1)

pieces = st.builds(
    WorkPiece,
    upstream=st.sampled_from(["a:1", "b:1"]),
    start_ms=st.sampled_from([0, MINUTE_MS]),
    busy=SLOTS_FROM,
    decoding=SLOTS_FROM,
    customer=st.sampled_from(["acme", "zeta"]),
    line=st.sampled_from(["served", "retry"]),
    work=st.integers(0, 2**40).map(lambda first: WorkAmounts(*range(first, first + 11))),
)


@given(st.lists(st.tuples(pieces, st.integers(0, 2)), max_size=8))
def test_the_division_among_workers_does_not_matter(found: list[tuple[WorkPiece, int]]) -> None:
    alone, workers = WorkAccumulator(), [WorkAccumulator() for _ in range(3)]
    for piece, number in found:
        alone.add("m/v1//", [piece])
        workers[number].add("m/v1//", [piece])
    together = WorkAccumulator()
    for worker in reversed(workers):
        for minute in worker.value():
            together.merge(msgspec.json.decode(msgspec.json.encode(minute), type=type(minute)))
    assert together.value() == alone.value()


def test_a_stranger_cannot_make_it_grow() -> None:
    work = WorkAccumulator()
    for number in range(5_000):
        work.add("m", [_piece(upstream=f"host-{number}", customer="a" * 10_000)])
        work.add("m", [_piece(customer=f"customer {number}")])
    assert len(work.minutes) <= 257
    assert len(work.minutes["a:1", 0].rows) <= 4_097
    assert max(len(row[1]) for minute in work.minutes.values() for row in minute.rows) <= 128
    assert work.add("m", [_piece(work=WorkAmounts(requests=-1))]) == 1


def _piece(
    upstream: str = "a:1",
    start_ms: int = 0,
    customer: str = "acme",
    work: WorkAmounts = ONE_REQUEST,
) -> WorkPiece:
    return WorkPiece(upstream, start_ms, 1, 1, customer, "served", work)


class _Worked(LengthExtractor):
    def measure(self, events: Sequence[tuple[Origin, RequestEvent]]) -> list[Measurement]:
        return [
            Measurement(work=(_piece(start_ms=event.time_ms // MINUTE_MS * MINUTE_MS),))
            for _, event in events
        ]


def _processor(snapshot: bytes | None = None) -> SketchingProcessor[RequestEvent]:
    found = SketchingProcessor(_Worked(), "vitals", SETTINGS)
    found.assign(PARTITION, snapshot)
    return found


def _records(*times_ms: int, first: int = 0) -> list[Record]:
    return [
        Record(PARTITION, offset, encode(request(offset + 1, time_ms=time_ms)))
        for offset, time_ms in enumerate(times_ms, first)
    ]


def _requests(result: ProcessingResult) -> list[int]:
    events = [
        decode(encode(found.event), UpstreamWork)
        for found in result.outputs
        if isinstance(found.event, UpstreamWork)
    ]
    return [
        row.work.requests for event in events for minute in event.minutes for row in minute.rows
    ]


def test_a_worker_publishes_its_work_once_also_after_a_restart() -> None:
    worker = _processor()
    assert _requests(worker.process(_records(1_000, 2_000, 3_000), 0)) == []
    worker = _processor(worker.snapshot(PARTITION))
    assert _requests(worker.process(_records(45_000, first=3), 0)) == [4]
    assert _requests(worker.process(_records(80_000, first=4), 0)) == [1]


def test_work_of_a_time_that_cannot_be_is_refused_and_counted() -> None:
    worker = _processor()
    ahead = Record(PARTITION, 0, encode(request(1, time_ms=9_000_000)), timestamp_ms=1_000)
    worker.process([ahead], 1_000)
    outputs = worker.process(
        [
            Record(PARTITION, 1, encode(request(2, time_ms=200_000)), timestamp_ms=200_000),
        ],
        200_000,
    )
    assert _requests(outputs) == [1]
    progress = [found.event for found in outputs.outputs][-1]
    assert progress.totals[REFUSED_VALUES] == 1  # type: ignore[union-attr]
