from __future__ import annotations

import doctest
import random
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from tidegauge.schemas import encode
from tidegauge.schemas.segments import Segment
from tidegauge.schemas.sketches import Sampled, Sketch, SourceRange
from tidegauge.streaming import merging
from tidegauge.streaming.merging import (
    SAMPLE,
    SampleAccumulator,
    least_sampled,
    merge_sketches,
    pooled_sample,
)

Request = tuple[float, str, tuple[str, ...]]


def requests(count: int, seed: int = 1) -> list[Request]:
    """Requests of whom a tenth is one caller's, and all of that caller's are strange."""
    draw = random.Random(seed)  # noqa: S311 - made-up traffic
    return [
        (draw.random(), "loud", ("asked", "strange"))
        if number % 10 == 0
        else (draw.random(), f"c{number % 7}", ("asked", "strange") if number % 30 == 1 else ())
        for number in range(count)
    ]


def sampled(found: list[Request]) -> tuple[Sampled, ...]:
    sample = SampleAccumulator()
    for request in found:
        sample.add(*request)
    return sample.sample()


def test_examples() -> None:
    assert doctest.testmod(merging).failed == 0


@given(st.integers(0, 5 * SAMPLE), st.integers(1, 6), st.randoms(use_true_random=False))
def test_any_partitioning_and_any_order_give_the_same_sample(
    count: int, parts: int, draw: random.Random
) -> None:
    found = requests(count)
    at_once = sampled(found)
    shuffled = draw.sample(found, len(found))
    split = [sampled(shuffled[part::parts]) for part in range(parts)]
    assert least_sampled(chain.from_iterable(split)) == at_once
    nested = split[0]
    for part in split[1:]:
        nested = least_sampled((*part, *nested))
    assert nested == at_once
    assert len(at_once) == min(count, SAMPLE)


def test_a_sample_that_is_resumed_goes_on_as_if_it_had_not_stopped() -> None:
    found = requests(3_000)
    resumed = SampleAccumulator(sampled(found[:1_700]))
    for request in found[1_700:]:
        resumed.add(*request)
    assert resumed.sample() == sampled(found)


def test_those_of_least_rank_are_kept_and_no_other() -> None:
    found = requests(3_000)
    ranks = sorted(int(rank * 2**32) for rank, _, _ in found)
    assert [one.rank for one in sampled(found)] == ranks[:SAMPLE]


def test_a_request_that_is_counted_twice_is_sampled_once() -> None:
    found = requests(100)
    assert sampled([*found, *found]) == sampled(found)


@given(st.lists(st.integers(0, 3 * SAMPLE), min_size=1, max_size=5), st.integers(0, 99))
def test_pooled_samples_hold_every_request_below_their_limit(counts: list[int], seed: int) -> None:
    parts = [requests(count, seed + number) for number, count in enumerate(counts)]
    samples = [sampled(part) for part in parts]
    found = pooled_sample(samples)
    highest = max((one.rank for one in found), default=-1)
    below = {
        int(rank * 2**32) for part in parts for rank, *_ in part if int(rank * 2**32) <= highest
    }
    assert {one.rank for one in found} == below
    assert len(found) >= min(sum(counts), SAMPLE) - 1
    if max(counts) < SAMPLE:
        assert len(found) == sum(counts), "nothing is left out where nothing was"


def test_pooled_samples_of_even_traffic_lose_little() -> None:
    samples = [sampled(requests(2_000, seed)) for seed in range(8)]
    assert len(pooled_sample(samples)) > 0.8 * 8 * SAMPLE


def test_a_callers_share_of_the_sample_is_its_share_of_the_requests() -> None:
    counts = {"loud": 0, "strange": 0, "loud and strange": 0}
    for seed in range(40):
        sample = sampled(requests(2_000, seed))
        counts["loud"] += sum(one.customer == "loud" for one in sample)
        counts["strange"] += sum("strange" in one.shows for one in sample)
        counts["loud and strange"] += sum(
            one.customer == "loud" and "strange" in one.shows for one in sample
        )
    drawn = 40 * SAMPLE
    # Four standard deviations of 10,240 draws.
    assert abs(counts["loud"] / drawn - 0.1) < 0.012
    assert abs(counts["loud and strange"] / counts["strange"] - 0.75) < 0.05


def test_a_full_sample_of_the_longest_names_is_far_below_a_brokers_limit() -> None:
    shows = ("embedded", "cluster/63", *(f"novelty/above_0.9{level}" for level in range(7)))
    names = ("\N{WATER WAVE}" * 10_000 + str(number) for number in range(2_000))
    found = sampled([(number / 2_000, name, shows) for number, name in enumerate(names)])
    assert {len(one.customer) for one in found} == {64}
    sketch = Sketch(
        kind="drift",
        producer_id="drift/requests.v1-0",
        sequence=1,
        segment=Segment(model="m"),
        window_start_ms=0,
        window_ms=10_000,
        source=SourceRange(topic="t", partition=0, first_offset=0, last_offset=0),
        events=2_000,
        sample=found,
    )
    assert len(encode(sketch)) < 150_000
    assert len(merge_sketches(sketch, sketch).sample) == SAMPLE
