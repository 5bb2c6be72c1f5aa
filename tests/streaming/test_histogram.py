from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
from ddsketch import DDSketch
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.schemas.sketches import Histogram
from tidegauge.streaming import histogram
from tidegauge.streaming.errors import AccuracyError, MergeError, ValueRangeError

numbers = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)
samples = st.lists(numbers, max_size=60)
ROUNDING = 1e-9


def exact(values: list[float], q: float) -> float:
    return sorted(values)[math.floor(q * (len(values) - 1))]


@given(st.lists(numbers, min_size=1, max_size=200), st.sampled_from([0, 0.05, 0.5, 0.95, 1]))
def test_a_quantile_is_within_the_relative_accuracy(values: list[float], q: float) -> None:
    found = histogram.quantile(histogram.add(histogram.empty(0.02), values), q)
    wanted = exact(values, q)
    assert found is not None
    assert found == pytest.approx(wanted, rel=0.02 + ROUNDING, abs=histogram.SMALLEST)


@pytest.mark.parametrize("q", [0.01, 0.5, 0.95, 0.99])
def test_quantiles_are_those_of_the_ddsketch_package(q: float) -> None:
    draw = random.Random(5)  # noqa: S311 - a fixed seed
    values = [draw.lognormvariate(5, 1.5) - 100 for _ in range(20_000)]
    peer = DDSketch(histogram.ACCURACY)
    for value in values:
        peer.add(value)
    ours = histogram.quantile(histogram.add(histogram.empty(), values), q)
    assert ours == pytest.approx(peer.get_quantile_value(q), rel=2 * histogram.ACCURACY)
    assert ours == pytest.approx(exact(values, q), rel=histogram.ACCURACY + ROUNDING)


@given(samples, samples, samples)
def test_merging_is_associative_and_commutative(
    a: list[float], b: list[float], c: list[float]
) -> None:
    x, y, z = (histogram.add(histogram.empty(), values) for values in (a, b, c))
    once = histogram.add(histogram.empty(), [*a, *b, *c])
    assert histogram.merge(histogram.merge(x, y), z) == once
    assert histogram.merge(x, histogram.merge(z, y)) == once
    assert histogram.merge_all([x, y, z]) == once


def test_the_sum_of_no_histograms_has_the_accuracy_that_is_asked_for() -> None:
    assert histogram.merge_all([], 0.02) == histogram.empty(0.02)


def test_many_numbers_have_the_buckets_that_each_has_alone() -> None:
    values = np.random.default_rng(4).lognormal(3.0, 4.0, 2_000)
    found = Counter(histogram.indices(values))
    assert histogram.add(histogram.empty(), values.tolist()).positive == found


@given(numbers, numbers)
def test_ordered_buckets_follow_the_values(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert histogram.bucket_of(low) <= histogram.bucket_of(high)


@given(st.integers(-2500, 2500), st.sampled_from([0.01, 0.02]))
def test_a_value_just_past_its_edge_is_in_the_next_bucket(bucket: int, accuracy: float) -> None:
    edge = histogram.upper_edge(bucket, accuracy)
    past = edge + abs(edge) * 1e-6
    before = edge - abs(edge) * 1e-6
    assert histogram.bucket_of(before, accuracy) == bucket
    assert histogram.bucket_of(past, accuracy) == bucket + 1


@given(samples, numbers)
def test_above_and_below_split_all_at_the_edge(values: list[float], threshold: float) -> None:
    counted = histogram.add(histogram.empty(), values)
    bucket = histogram.bucket_of(threshold)
    above = sum(histogram.bucket_of(value) > bucket for value in values)
    assert histogram.split(counted, bucket)[1] == above
    assert histogram.split(counted, bucket)[0] == len(values) - above
    assert histogram.count(counted) == len(values)


def test_the_tail_of_negative_numbers_is_counted() -> None:
    scores = histogram.add(histogram.empty(), [-3.0, -2.0, -1.0, -0.5])
    bucket = histogram.bucket_of(-2.0)
    assert histogram.split(scores, bucket)[0] == 2
    assert histogram.split(scores, bucket)[1] == 2
    assert histogram.upper_edge(bucket) == pytest.approx(-2.0, rel=0.02)


def test_no_numbers_have_no_quantile() -> None:
    assert histogram.quantile(histogram.empty(), 0.5) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused(value: float) -> None:
    with pytest.raises(ValueRangeError, match="finite numbers only"):
        histogram.add(histogram.empty(), [value])
    with pytest.raises(ValueRangeError):
        histogram.bucket_of(value)


def test_histograms_of_two_accuracies_do_not_merge() -> None:
    with pytest.raises(MergeError, match=r"accuracy is 0\.01 on one side and 0\.02"):
        histogram.merge(histogram.empty(0.01), histogram.empty(0.02))
    with pytest.raises(MergeError, match=r"accuracy is 0\.01 on one side and 0\.02"):
        histogram.merge_all([histogram.empty(0.01), histogram.empty(0.02)])


@pytest.mark.parametrize("accuracy", [0.0, 1.0, -0.1])
def test_an_accuracy_outside_its_range_is_refused(accuracy: float) -> None:
    with pytest.raises(AccuracyError):
        histogram.empty(accuracy)


def test_a_quantile_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueRangeError):
        histogram.quantile(histogram.empty(), 1.5)


def test_counting_leaves_the_start_as_it_was() -> None:
    start = Histogram(accuracy=0.01, positive={1: 1})
    histogram.add(start, [5.0, 6.0])
    assert start.positive == {1: 1}
