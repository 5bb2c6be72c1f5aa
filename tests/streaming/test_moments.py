from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.schemas.sketches import Moments
from tidegauge.streaming import moments
from tidegauge.streaming.errors import ValueRangeError

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
    x, y, z = moments.of(a), moments.of(b), moments.of(c)
    once = moments.of([*a, *b, *c])
    assert close(moments.merge(moments.merge(x, y), z), once)
    assert close(moments.merge(z, moments.merge(y, x)), once)


@given(st.lists(st.floats(min_value=-1e3, max_value=1e3), min_size=2, max_size=50))
def test_mean_and_variance_are_those_of_the_sample(values: list[float]) -> None:
    found = moments.of(values)
    assert moments.mean(found) == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert moments.variance(found) == pytest.approx(statistics.variance(values), abs=1e-6)


def test_no_numbers_have_neither_mean_nor_spread() -> None:
    assert moments.of([]) == moments.EMPTY
    assert moments.mean(moments.EMPTY) is None
    assert moments.variance(moments.of([1.0])) is None


def test_extremes_of_nothing_do_not_leak_into_a_merge() -> None:
    assert moments.merge(moments.EMPTY, moments.of([5.0])).least == 5.0
    assert moments.merge(moments.of([-5.0]), moments.EMPTY).most == -5.0


def test_a_tally_goes_on_from_its_start() -> None:
    tally = moments.MomentsAccumulator(moments.of([1.0]))
    tally.add(3.0)
    assert tally.moments() == moments.of([1.0, 3.0])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused(value: float) -> None:
    with pytest.raises(ValueRangeError, match="finite numbers only"):
        moments.of([value])
