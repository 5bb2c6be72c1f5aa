from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegauge.monitoring.intake import MergedWindow, Windows
from tidegauge.schemas import encode, measures
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import RESPONSES

if TYPE_CHECKING:
    from tests.monitoring.conftest import Traffic, WriterOf

WINDOW_MS = 2_000


def close_all(windows: Windows, events: list[Sketch | Progress]) -> list[MergedWindow]:
    closed = []
    for event in events:
        if isinstance(event, Progress):
            windows.report(event)
        else:
            windows.accept(event)
        closed += windows.close()
    return closed


def content(closed: list[MergedWindow]) -> list[tuple[int, str, int, dict[str, int]]]:
    return [
        (window.start_ms, sketch.segment.key, sketch.events, sketch.hits)
        for window in closed
        for sketch in window.sketches
    ]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(1, 9)), min_size=1, max_size=40
    ),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_partitions_and_their_interleaving_change_nothing(
    writer_of: WriterOf,
    events: list[tuple[int, int, int]],
    partitions: int,
    shuffle: random.Random,
) -> None:
    """Each event is (window, partition, hits); all partitions' logs are interleaved at random."""

    def run(count: int) -> list[MergedWindow]:
        logs: list[list[Sketch | Progress]] = []
        for index in range(count):
            writer = writer_of("vitals", index)
            log: list[Sketch | Progress] = []
            for number in range(6):
                log += [
                    writer.sketch(number, events=10, hits={measures.ERROR: hits})
                    for window, partition, hits in events
                    if window == number and partition % count == index
                ]
                log.append(writer.progress(number + 1))
            logs.append(log)
        order = [index for index, log in enumerate(logs) for _ in log]
        shuffle.shuffle(order)
        return close_all(
            Windows(WINDOW_MS, {RESPONSES.name: count}), [logs[index].pop(0) for index in order]
        )

    assert content(run(partitions)) == content(run(1))


def test_a_window_waits_for_the_slowest_partition(writer_of: WriterOf) -> None:
    first, second = writer_of("vitals", 0), writer_of("vitals", 1)
    windows = Windows(WINDOW_MS, {RESPONSES.name: 2})
    assert close_all(windows, [first.sketch(0, events=1), first.progress(3)]) == []
    assert windows.watermark_ms("vitals") is None
    (window,) = close_all(windows, [second.progress(1)])
    assert (window.end_ms - window.start_ms, window.sketches[0].events) == (WINDOW_MS, 1)


def test_what_comes_late_is_counted_in_the_next_open_window(writer_of: WriterOf) -> None:
    first, second = writer_of("vitals", 0), writer_of("vitals", 1)
    windows = Windows(WINDOW_MS, {RESPONSES.name: 1})
    close_all(windows, [first.sketch(0, events=1), first.progress(2)])
    (window,) = close_all(windows, [second.sketch(0, events=7), first.progress(3)])
    (sketch,) = window.sketches
    assert (window.start_ms, sketch.events, sketch.late) == (first.start_of(2), 7, 7)


def test_a_repeated_sequence_is_dropped(traffic: Traffic) -> None:
    writer = traffic.writers["vitals"]
    windows = Windows(WINDOW_MS, {RESPONSES.name: 1})
    sketch, progress = writer.sketch(0, events=3), writer.progress(1)
    assert windows.accept(sketch)
    assert not windows.accept(sketch)
    assert windows.report(progress)
    assert not windows.report(progress)
    assert [s.events for window in windows.close() for s in window.sketches] == [3]


def numbered(sketch: Sketch, sequence: int, window: int) -> Sketch:
    return msgspec.structs.replace(
        sketch,
        sequence=sequence,
        window_start_ms=sketch.window_start_ms + window * WINDOW_MS,
    )


def test_a_forged_sequence_hides_no_later_sketch(traffic: Traffic) -> None:
    windows = Windows(WINDOW_MS, {RESPONSES.name: 1})
    sketch = traffic.vitals(3, 2)
    for number in range(1, 300):
        assert windows.accept(numbered(sketch, number, number))
    assert windows.accept(numbered(sketch, 2**62, 1))
    for number in range(300, 400):
        assert windows.accept(numbered(sketch, number, number))
        assert not windows.accept(numbered(sketch, number - 50, number - 50))


def test_a_worker_that_lost_its_state_is_heard_again(traffic: Traffic) -> None:
    windows = Windows(WINDOW_MS, {RESPONSES.name: 1})
    sketch = traffic.vitals(3, 2)
    for number in range(1, 300):
        assert windows.accept(numbered(sketch, number, number))
    windows = Windows(WINDOW_MS, {RESPONSES.name: 1}, windows.state())
    assert not windows.accept(numbered(sketch, 1, 1)), "counted before"
    for number in range(1, 50):
        assert windows.accept(numbered(sketch, number, 300 + number))


def test_indicators_of_two_baselines_are_not_added_up(traffic: Traffic) -> None:
    writer = traffic.writers["drift"]
    windows = Windows(WINDOW_MS, {})
    (window,) = close_all(
        windows,
        [
            writer.sketch(0, events=2, baseline="a"),
            writer.sketch(0, events=3, baseline="b"),
            writer.progress(1),
        ],
    )
    assert [(s.baseline, s.events) for s in window.sketches] == [("a", 2), ("b", 3)]


def test_state_is_plain_data_and_goes_on(traffic: Traffic) -> None:
    windows = Windows(WINDOW_MS, {RESPONSES.name: 1})
    writer = traffic.writers["vitals"]
    close_all(windows, [traffic.vitals(0, 4), writer.progress(1), traffic.vitals(1, 4)])
    data = msgspec.msgpack.encode(windows.state())
    restored = Windows(
        WINDOW_MS,
        {RESPONSES.name: 1},
        msgspec.msgpack.decode(data, type=type(windows.state())),
    )
    late: list[Sketch | Progress] = [traffic.vitals(0, 2), writer.progress(2)]
    first, second = close_all(windows, late), close_all(restored, late)
    assert [encode(s) for b in first for s in b.sketches] == [
        encode(s) for b in second for s in b.sketches
    ]
    assert msgspec.msgpack.encode(windows.state()) == msgspec.msgpack.encode(restored.state())
