from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.quality.qualification import (
    area_interval,
    area_under_curve,
    lower_bound,
    qualify,
)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
)
def test_the_area_is_the_share_of_pairs(good: list[int], bad: list[int]) -> None:
    area = area_under_curve(good, bad)
    assert area + area_under_curve(bad, good) == pytest.approx(1)
    assert area_under_curve([10], bad) == 1.0


def test_the_bound_grows_with_the_sample_and_the_area() -> None:
    assert lower_bound(0.9, 20) < lower_bound(0.9, 40) < 0.9
    assert lower_bound(0.8, 40) < lower_bound(0.9, 40)
    assert lower_bound(1.0, 40) == pytest.approx(0.05 ** (1 / 40))
    assert lower_bound(0.0, 40) == 0.0
    assert lower_bound(float("nan"), 40) == 0.0
    assert lower_bound(0.9, 0) == 0.0


def test_the_bound_misses_no_more_often_than_said() -> None:
    rng = np.random.default_rng(11)
    missed = 0
    for _ in range(400):
        good, bad = rng.normal(1.0, 1.0, 30), rng.normal(0.0, 1.0, 30)
        area = float((good[:, None] > bad).mean())
        missed += lower_bound(area, 30) > TRUE_AREA
    assert missed / 400 <= 0.05


TRUE_AREA = 0.7602499389065233
"""Of two normals, one standard deviation apart: Phi(1 / sqrt 2)."""


def numbers(start: float, count: int = 40) -> list[float]:
    return [start + step / 100 for step in range(count)]


def test_a_judge_that_tells_good_from_bad_is_qualified() -> None:
    found = qualify({"score": numbers(1)}, {"hot": {"score": numbers(0)}}, asked=80)
    assert found.qualified
    assert found.kinds == ("hot",)


def test_a_judge_that_guesses_is_not() -> None:
    found = qualify({"score": numbers(0)}, {"hot": {"score": numbers(0)}}, asked=80)
    assert not found.qualified
    assert not found.promising
    assert found.kinds == ()


def test_a_judge_with_too_few_golden_answers_is_promising() -> None:
    found = qualify({"score": numbers(1, 5)}, {"hot": {"score": numbers(0, 5)}}, asked=10)
    assert not found.qualified
    assert found.promising


def test_one_useless_score_spoils_the_judge_but_not_the_other_kinds() -> None:
    good = {"a": numbers(1), "b": numbers(0)}
    bad = {"hot": {"a": numbers(0), "b": numbers(0)}, "other": {"a": numbers(0), "b": numbers(0)}}
    found = qualify(good, bad, asked=120)
    assert not found.qualified
    assert found.kinds == ("hot", "other")


def test_a_judge_that_is_mostly_silent_is_not_qualified() -> None:
    found = qualify({"score": numbers(1)}, {"hot": {"score": numbers(0)}}, asked=200)
    assert found.scored == 80
    assert not found.qualified


def test_a_judge_without_any_score_is_not_qualified() -> None:
    assert not qualify({}, {"hot": {}}, asked=80).qualified


def test_the_interval_covers_the_area_in_nineteen_of_twenty() -> None:
    rng = np.random.default_rng(5)
    true = NormalDist().cdf(1 / math.sqrt(2))
    covered = 0
    for _ in range(200):
        low, high = area_interval(rng.normal(1, 1, 40).tolist(), rng.normal(0, 1, 40).tolist())
        covered += low <= true <= high
    assert 180 <= covered <= 198


def test_one_answer_has_the_widest_interval() -> None:
    assert area_interval([1.0], [0.0, 0.5]) == (0.0, 1.0)


def test_answers_that_are_told_apart_without_an_error_leave_room_for_one() -> None:
    low, high = area_interval([1.0] * 20, [0.0] * 20)
    assert 0.8 < low < 0.9
    assert high == 1
