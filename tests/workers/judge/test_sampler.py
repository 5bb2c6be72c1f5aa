from __future__ import annotations

import numpy as np
import pytest

from tidegauge.quality.judged_exchange import Score
from tidegauge.workers.judge.sampler import Sampler, SamplingRule

MINUTE = 60_000
RATES = {"likelihood": 0.8, "rubric": 0.4}


def sampler(budget: float = 0.0) -> Sampler:
    rule = SamplingRule(salt="s", rates=RATES, floor=0.02, budget_tokens_per_second=budget)
    return Sampler(rule)


def live(found: Sampler, minute: int, *, answers: int = 600) -> None:
    """One minute of two strata, of which one spreads ten times as much."""
    rng = np.random.default_rng(minute)
    found.plans(minute * MINUTE)
    for judge, tokens in (("likelihood", 60), ("rubric", 300)):
        for stratum, spread in (("calm", 0.02), ("wild", 0.2)):
            for _ in range(answers):
                found.answer(judge, stratum)
            for value in rng.normal(0.5, spread, 100):
                found.learn(judge, stratum, Score(values={"score": float(value)}, tokens=tokens))


def rates(found: Sampler, minute: int) -> dict[tuple[str, str], float]:
    plans = found.plans(minute * MINUTE)
    return {
        (judge, stratum): plans[judge].inclusion_probability(stratum)
        for judge in RATES
        for stratum in ("calm", "wild")
    }


def test_without_a_budget_the_rates_are_the_rules() -> None:
    found = sampler()
    live(found, 1)
    for (judge, _), rate in rates(found, 2).items():
        assert rate == pytest.approx(RATES[judge])


def test_a_budget_is_kept_and_goes_where_scores_spread() -> None:
    found = sampler(budget=600)
    live(found, 1)
    after = rates(found, 2)
    spent = sum(
        600 * {"likelihood": 60, "rubric": 300}[judge] * p for (judge, _), p in after.items()
    )
    assert spent == pytest.approx(600 * 60, rel=0.02)
    for judge in RATES:
        assert after[judge, "wild"] > 3 * after[judge, "calm"]


def test_a_large_budget_does_not_pass_the_largest_share() -> None:
    found = sampler(budget=1e9)
    live(found, 1)
    plans = found.plans(2 * MINUTE)
    assert {judge: plan.kappa for judge, plan in plans.items()} == RATES


def test_a_plan_holds_for_its_epoch_whatever_is_learnt() -> None:
    found = sampler(budget=600)
    live(found, 1)
    first = found.plans(2 * MINUTE)
    live(found, 2)
    assert found.plans(2 * MINUTE + 59_000) is first
    assert found.plans(MINUTE) is first, "late answers start no period"
    second = found.plans(3 * MINUTE)
    assert {plan.period for plan in second.values()} == {180}
    assert {plan.period for plan in first.values()} == {120}


def test_the_first_epoch_and_a_silent_one_have_the_rules_rates() -> None:
    found = sampler(budget=600)
    assert rates(found, 1)["rubric", "calm"] == pytest.approx(0.4)
    live(found, 1)
    found.plans(2 * MINUTE)
    assert rates(found, 3)["rubric", "calm"] == pytest.approx(0.4)


def test_invalid_judgments_cost_but_do_not_spread() -> None:
    found = sampler(budget=10)
    found.plans(MINUTE)
    for _ in range(100):
        found.answer("rubric", "calm")
        found.learn("rubric", "calm", Score(invalid="label_mass", tokens=300))
    assert 0.02 <= rates(found, 2)["rubric", "calm"] < 0.4
