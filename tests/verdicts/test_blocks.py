from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegauge.schemas import encode, measures
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import RESPONSES
from tidegauge.verdicts.blocks import Block, Blocks

if TYPE_CHECKING:
    from tests.verdicts.conftest import Kit, WriterOf

BLOCK_MS = 2_000


def close_all(blocks: Blocks, events: list[Sketch | Progress]) -> list[Block]:
    closed = []
    for event in events:
        if isinstance(event, Progress):
            blocks.report(event)
        else:
            blocks.accept(event)
        closed += blocks.close()
    return closed


def content(closed: list[Block]) -> list[tuple[int, str, int, dict[str, int]]]:
    return [
        (block.start_ms, sketch.segment.key, sketch.events, sketch.hits)
        for block in closed
        for sketch in block.sketches
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
    """Each event is (block, partition, hits); all partitions' logs are interleaved at random."""

    def run(count: int) -> list[Block]:
        logs: list[list[Sketch | Progress]] = []
        for index in range(count):
            writer = writer_of("vitals", index)
            log: list[Sketch | Progress] = []
            for number in range(6):
                log += [
                    writer.sketch(number, events=10, hits={measures.ERROR: hits})
                    for block, partition, hits in events
                    if block == number and partition % count == index
                ]
                log.append(writer.progress(number + 1))
            logs.append(log)
        order = [index for index, log in enumerate(logs) for _ in log]
        shuffle.shuffle(order)
        return close_all(
            Blocks(BLOCK_MS, {RESPONSES.name: count}), [logs[index].pop(0) for index in order]
        )

    assert content(run(partitions)) == content(run(1))


def test_a_block_waits_for_the_slowest_partition(writer_of: WriterOf) -> None:
    first, second = writer_of("vitals", 0), writer_of("vitals", 1)
    blocks = Blocks(BLOCK_MS, {RESPONSES.name: 2})
    assert close_all(blocks, [first.sketch(0, events=1), first.progress(3)]) == []
    assert blocks.frontier_ms("vitals") is None
    (block,) = close_all(blocks, [second.progress(1)])
    assert (block.end_ms - block.start_ms, block.sketches[0].events) == (BLOCK_MS, 1)


def test_what_comes_late_is_counted_in_the_next_open_block(writer_of: WriterOf) -> None:
    first, second = writer_of("vitals", 0), writer_of("vitals", 1)
    blocks = Blocks(BLOCK_MS, {RESPONSES.name: 1})
    close_all(blocks, [first.sketch(0, events=1), first.progress(2)])
    (block,) = close_all(blocks, [second.sketch(0, events=7), first.progress(3)])
    (sketch,) = block.sketches
    assert (block.start_ms, sketch.events, sketch.late) == (first.start_of(2), 7, 7)


def test_a_repeated_sequence_is_dropped(kit: Kit) -> None:
    writer = kit.writers["vitals"]
    blocks = Blocks(BLOCK_MS, {RESPONSES.name: 1})
    sketch, progress = writer.sketch(0, events=3), writer.progress(1)
    assert blocks.accept(sketch)
    assert not blocks.accept(sketch)
    assert blocks.report(progress)
    assert not blocks.report(progress)
    assert [s.events for block in blocks.close() for s in block.sketches] == [3]


def test_indicators_of_two_baselines_are_not_added_up(kit: Kit) -> None:
    writer = kit.writers["drift"]
    blocks = Blocks(BLOCK_MS, {})
    (block,) = close_all(
        blocks,
        [
            writer.sketch(0, events=2, baseline="a"),
            writer.sketch(0, events=3, baseline="b"),
            writer.progress(1),
        ],
    )
    assert [(s.baseline, s.events) for s in block.sketches] == [("a", 2), ("b", 3)]


def test_state_is_plain_data_and_goes_on(kit: Kit) -> None:
    blocks = Blocks(BLOCK_MS, {RESPONSES.name: 1})
    writer = kit.writers["vitals"]
    close_all(blocks, [kit.vitals(0, 4), writer.progress(1), kit.vitals(1, 4)])
    data = msgspec.msgpack.encode(blocks.state())
    restored = Blocks(
        BLOCK_MS,
        {RESPONSES.name: 1},
        msgspec.msgpack.decode(data, type=type(blocks.state())),
    )
    late: list[Sketch | Progress] = [kit.vitals(0, 2), writer.progress(2)]
    first, second = close_all(blocks, late), close_all(restored, late)
    assert [encode(s) for b in first for s in b.sketches] == [
        encode(s) for b in second for s in b.sketches
    ]
    assert msgspec.msgpack.encode(blocks.state()) == msgspec.msgpack.encode(restored.state())
