from __future__ import annotations

import random
from functools import reduce

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Exemplar, Sampled, Sketch, SourceRange
from tidegauge.streaming import histogram
from tidegauge.streaming.errors import MergeError
from tidegauge.streaming.merging import (
    EXEMPLARS,
    MIXED,
    NO_PARTITION,
    merge_all,
    merge_sketches,
    moments_of,
)

SEGMENT = Segment(model="m", version="v1")


def sketch(
    values: tuple[float, ...] = (),
    *,
    partition: int = 0,
    window: int = 0,
    baseline: str = "b1",
    hits: int = 0,
) -> Sketch:
    exemplars = tuple(
        Exemplar(request_id=f"{partition}-{value}", rank=value % 1, text="t", customer="c")
        for value in values
    )
    return Sketch(
        kind="drift",
        producer_id=f"drift/requests.v1-{partition}",
        sequence=window + 1,
        segment=SEGMENT,
        window_start_ms=window * 10_000,
        window_ms=10_000,
        source=SourceRange(
            topic="requests.v1", partition=partition, first_offset=window, last_offset=window
        ),
        baseline=baseline,
        events=len(values),
        hits={"odd": hits} if hits else {},
        trials={"odd": len(values)} if partition else {},
        moments={"x": moments_of(values)},
        histograms={"x": histogram.add(histogram.empty(), values)},
        totals={"cost": {f"c{partition}": len(values), "all": 1}},
        exemplars={"odd": exemplars} if exemplars else {},
        sample=tuple(Sampled(n, f"c{n % 3}", ("odd",)) for n in sorted({int(v) for v in values})),
    )


sketches = st.lists(
    st.builds(
        sketch,
        # Sixteenths add up without rounding, so that equality can be asked for.
        st.lists(st.integers(0, 10_000).map(lambda n: n / 16), max_size=8).map(tuple),
        partition=st.integers(0, 2),
        window=st.integers(0, 5),
        baseline=st.sampled_from(["b1", "b2"]),
        hits=st.integers(0, 3),
    ),
    min_size=2,
    max_size=8,
)


@given(sketches, st.randoms(use_true_random=False))
def test_neither_order_nor_grouping_matters(found: list[Sketch], draw: random.Random) -> None:
    once = merge_all(found)
    shuffled = draw.sample(found, len(found))
    cut = draw.randrange(1, len(found))
    left = reduce(merge_sketches, shuffled[:cut])
    right = reduce(merge_sketches, shuffled[cut:])
    assert merge_sketches(left, right) == once


@given(
    st.lists(st.integers(0, 160).map(lambda n: n / 16), min_size=1, max_size=40), st.integers(1, 4)
)
def test_any_partitioning_counts_the_same(values: list[float], parts: int) -> None:
    split = [sketch(tuple(values[part::parts])) for part in range(parts)]
    merged, whole = merge_all(split), sketch(tuple(values))
    assert merged is not None
    assert (merged.events, merged.moments, merged.histograms, merged.sample) == (
        whole.events,
        whole.moments,
        whole.histograms,
        whole.sample,
    )


def test_a_sum_spans_its_windows_and_offsets() -> None:
    merged = merge_sketches(sketch((1.0,), window=3), sketch((2.0,), window=1))
    assert (merged.window_start_ms, merged.window_ms) == (10_000, 30_000)
    assert (merged.source.first_offset, merged.source.last_offset) == (1, 3)
    assert merged.sequence == 4


def test_what_differs_is_said_to_be_mixed() -> None:
    merged = merge_sketches(sketch(), sketch(partition=1, baseline="b2"))
    assert merged.baseline == MIXED
    assert merged.producer_id == MIXED
    assert merged.source.partition == NO_PARTITION


def test_trials_of_one_side_count_for_that_side_alone() -> None:
    merged = merge_sketches(sketch((1.0, 2.0)), sketch((3.0,), partition=1))
    assert merged.events == 3
    assert merged.trials == {"odd": 1}


def test_exemplars_of_least_rank_are_kept_once() -> None:
    first = sketch(tuple(i / 16 for i in range(8)))
    merged = merge_sketches(first, first)
    assert [e.rank for e in merged.exemplars["odd"]] == [i / 16 for i in range(EXEMPLARS)]


def test_totals_add_up_by_label() -> None:
    merged = merge_sketches(sketch((1.0,)), sketch((2.0, 3.0), partition=1))
    assert merged.totals == {"cost": {"all": 2, "c0": 1, "c1": 2}}


def test_other_kinds_and_segments_are_refused() -> None:
    with pytest.raises(MergeError, match="kind is 'drift' on one side and 'vitals'"):
        merge_sketches(sketch(), msgspec.structs.replace(sketch(), kind="vitals"))
    with pytest.raises(MergeError, match="segment"):
        merge_sketches(sketch(), msgspec.structs.replace(sketch(), segment=Segment(model="n")))


def test_nothing_merges_to_nothing() -> None:
    assert merge_all([]) is None


def test_strata_add_up_each_by_itself() -> None:
    one = histogram.add(histogram.empty(), [1.0])
    first = msgspec.structs.replace(sketch(), strata={"x": {"0/0/0/0": one}})
    second = msgspec.structs.replace(sketch(partition=1), strata={"x": {"0/0/0/0": one, "9/": one}})
    merged = merge_sketches(first, second).strata["x"]
    assert {name: histogram.count(found) for name, found in merged.items()} == {
        "0/0/0/0": 2,
        "9/": 1,
    }
