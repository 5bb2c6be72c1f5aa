from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.schemas.sketches import Moments
from tidegauge.streaming.errors import ValueRangeError
from tidegauge.streaming.merging import (
    NO_NUMBERS,
    MomentsAccumulator,
    mean,
    merge_moments,
    moments_of,
)

numbers = st.floats(min_value=-1e6, max_value=1e6)
samples = st.lists(numbers, max_size=40)


def close(a: Moments, b: Moments) -> bool:
    return (
        (a.n, a.least, a.most) == (b.n, b.least, b.most)
        and math.isclose(a.total, b.total, rel_tol=1e-12, abs_tol=1e-6)
        and math.isclose(a.squares, b.squares, rel_tol=1e-12, abs_tol=1e-6)
    )


@given(samples, samples, samples)
def test_merging_is_associative_and_commutative(
    a: list[float], b: list[float], c: list[float]
) -> None:
    x, y, z = moments_of(a), moments_of(b), moments_of(c)
    once = moments_of([*a, *b, *c])
    assert close(merge_moments(merge_moments(x, y), z), once)
    assert close(merge_moments(z, merge_moments(y, x)), once)


@given(st.lists(st.floats(min_value=-1e3, max_value=1e3), min_size=2, max_size=50))
def test_the_mean_is_that_of_the_numbers(values: list[float]) -> None:
    found = moments_of(values)
    assert mean(found) == pytest.approx(statistics.fmean(values), abs=1e-9)


def test_no_numbers_have_no_mean() -> None:
    assert moments_of([]) == NO_NUMBERS
    assert mean(NO_NUMBERS) is None


def test_extremes_of_nothing_do_not_leak_into_a_merge() -> None:
    assert merge_moments(NO_NUMBERS, moments_of([5.0])).least == 5.0
    assert merge_moments(moments_of([-5.0]), NO_NUMBERS).most == -5.0


def test_a_tally_goes_on_from_its_start() -> None:
    tally = MomentsAccumulator(moments_of([1.0]))
    tally.add(3.0)
    assert tally.moments() == moments_of([1.0, 3.0])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused(value: float) -> None:
    with pytest.raises(ValueRangeError, match="finite numbers only"):
        moments_of([value])
