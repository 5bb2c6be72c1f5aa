from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.quality.errors import SamplingError
from tidegauge.quality.sampling import SamplingPlan, Stratum, allocate, draw


def test_the_draw_is_uniform() -> None:
    places = np.sort([draw("salt", f"request-{number}") for number in range(20_000)])
    steps = np.arange(1, places.size + 1) / places.size
    assert np.abs(places - steps).max() < 1.63 / np.sqrt(places.size)


def test_the_draw_is_the_documented_one() -> None:
    assert draw("tidegauge", "request-1") == pytest.approx(DRAWN, abs=0)


DRAWN = 0.21351901378948868
"""Changing this draws other answers than those that were judged so far."""


def test_an_empty_salt_is_refused() -> None:
    with pytest.raises(SamplingError, match="salt of the sampling hash is empty"):
        SamplingPlan(period=1, salt="", kappa=0.1)


def test_another_salt_draws_afresh() -> None:
    ids = [f"request-{number}" for number in range(5_000)]
    a, b = (np.array([draw(salt, each) for each in ids]) for salt in ("one", "two"))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.05


def test_a_smaller_scale_keeps_a_subset() -> None:
    plan = SamplingPlan(period=1, salt="s", kappa=0.5, relative={"a": 3.0, "b": 0.5})
    smaller = plan.scaled(0.3)
    for stratum in ("a", "b", "unknown"):
        assert smaller.inclusion_probability(stratum) <= plan.inclusion_probability(stratum)
    assert smaller.period == plan.period


@given(
    kappa=st.floats(0, 10),
    floor=st.floats(0.001, 1),
    ratio=st.floats(0, 1e6),
)
def test_rates_are_probabilities_above_the_floor(kappa: float, floor: float, ratio: float) -> None:
    plan = SamplingPlan(period=1, salt="s", kappa=kappa, floor=floor, relative={"a": ratio})
    assert floor <= plan.inclusion_probability("a") <= 1


STRATA = {
    "calm": Stratum(requests=9_000, spread=0.05, tokens=400),
    "wild": Stratum(requests=1_000, spread=0.40, tokens=400),
}


def spent(plan: SamplingPlan, strata: dict[str, Stratum]) -> float:
    return sum(s.requests * s.tokens * plan.inclusion_probability(n) for n, s in strata.items())


def test_the_budget_is_kept() -> None:
    plan = allocate(STRATA, budget_tokens=400_000, period=3, salt="s")
    assert spent(plan, STRATA) == pytest.approx(400_000, rel=1e-6)
    assert plan.inclusion_probability("wild") > 3 * plan.inclusion_probability("calm")


def test_it_is_better_than_equal_shares() -> None:
    budget = 400_000.0
    plan = allocate(STRATA, budget_tokens=budget, period=1, salt="s")
    equal = budget / sum(s.requests * s.tokens for s in STRATA.values())

    def variance(rate: dict[str, float]) -> float:
        total = sum(s.requests for s in STRATA.values())
        return sum(
            (s.requests / total) ** 2 * s.spread**2 / (s.requests * rate[n])
            for n, s in STRATA.items()
        )

    ours = variance({name: plan.inclusion_probability(name) for name in STRATA})
    assert ours < 0.8 * variance(dict.fromkeys(STRATA, equal))


def test_a_budget_below_the_floor_keeps_the_floor() -> None:
    plan = allocate(STRATA, budget_tokens=1, period=1, salt="s", floor=0.03)
    assert {plan.inclusion_probability(name) for name in STRATA} == {0.03}


def test_a_large_budget_judges_everything() -> None:
    plan = allocate(STRATA, budget_tokens=1e12, period=1, salt="s")
    assert {plan.inclusion_probability(name) for name in STRATA} == {1.0}


def test_strata_without_spread_do_no_harm() -> None:
    odd = {**STRATA, "empty": Stratum(0, 0.1, 10), "flat": Stratum(10, 0.0, 10)}
    plan = allocate(odd, budget_tokens=100_000, period=1, salt="s")
    assert 0 < plan.inclusion_probability("flat") < 1
    assert 0 < plan.inclusion_probability("empty") < 1


@pytest.mark.parametrize(("floor", "kappa"), [(0, 0.1), (1.5, 0.1), (float("nan"), 0.1), (0.1, -1)])
def test_rates_that_are_none_are_refused(floor: float, kappa: float) -> None:
    with pytest.raises(SamplingError):
        SamplingPlan(period=1, salt="s", kappa=kappa, floor=floor)


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(SamplingError, match="above 0"):
        allocate(STRATA, budget_tokens=0, period=1, salt="s")
