"""Sampling rates that change by period, each fixed before the period's answers are seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from tidegauge.quality.judged_exchange import Score
from tidegauge.quality.sampling import SamplingPlan, Stratum, allocate

__all__ = ["Sampler", "SamplingRule"]

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SamplingRule:
    """How answers are drawn.

    Attributes:
        salt: Salt of the draw.
        rates: Judge -> largest share of the answers that it scores.
        floor: Share below which neither load nor the budget lowers a rate.
        budget_tokens_per_second: Tokens that all judges together may use; 0 for no budget.
        period_seconds: Event time that one plan holds for.
    """

    salt: str
    rates: Mapping[str, float]
    floor: float
    budget_tokens_per_second: float = 0.0
    period_seconds: int = 60


@dataclass(slots=True)
class _Seen:
    """Counts, mean and squares of one judge's scores in one stratum and period."""

    answers: int = 0
    scores: int = 0
    mean: float = 0.0
    squares: float = 0.0
    judged: int = 0
    tokens: int = 0

    def learn(self, value: float) -> None:
        """Add a score, by Welford's recursion."""
        self.scores += 1
        step = value - self.mean
        self.mean += step / self.scores
        self.squares += step * (value - self.mean)

    @property
    def stratum(self) -> Stratum:
        return Stratum(
            requests=self.answers,
            spread=math.sqrt(self.squares / self.scores) if self.scores else 0.0,
            tokens=self.tokens / self.judged if self.judged else 0.0,
        )


class Sampler:
    """Makes the sampling plans of each period from the scores of the period before.

    Without a budget, and before there are any scores, each judge's rate is the rule's. With a
    budget, rates are higher where a judgment is most informative: in strata whose scores vary.

    Args:
        rule: How answers are drawn.
    """

    def __init__(self, rule: SamplingRule) -> None:
        self._rule = rule
        self._period = -1
        self._plans: Mapping[str, SamplingPlan] = {}
        self._seen: dict[str, dict[str, _Seen]] = {}

    def plans(self, time_ms: int) -> Mapping[str, SamplingPlan]:
        """Return each judge's plan for answers of this event time.

        An earlier time starts no period: late answers are drawn by the current plan.
        """
        length_ms = 1000 * self._rule.period_seconds
        period = time_ms // length_ms
        if period > self._period:
            elapsed = 1 if self._period < 0 else period - self._period
            self._period = period
            self._plans = self._next(period * length_ms // 1000, elapsed)
            self._seen = {}
        return self._plans

    def answer(self, judge: str, stratum: str) -> None:
        """Count an answer that could be judged."""
        self._of(judge, stratum).answers += 1

    def learn(self, judge: str, stratum: str, score: Score) -> None:
        """Add a judgment to the counts for the next period."""
        seen = self._of(judge, stratum)
        seen.judged += 1
        seen.tokens += score.tokens
        for _, value in sorted(score.values.items())[:1]:
            seen.learn(value)

    def _of(self, judge: str, stratum: str) -> _Seen:
        return self._seen.setdefault(judge, {}).setdefault(stratum, _Seen())

    def _next(self, number: int, elapsed: int) -> Mapping[str, SamplingPlan]:
        whole = {
            judge: {name: seen.stratum for name, seen in strata.items()}
            for judge, strata in self._seen.items()
        }
        costs = {
            judge: self._rule.rates[judge]
            * math.fsum(each.requests * each.tokens for each in strata.values())
            for judge, strata in whole.items()
        }
        total = math.fsum(costs.values())
        budget = self._rule.budget_tokens_per_second * self._rule.period_seconds * elapsed
        plans = {}
        for judge, rate in self._rule.rates.items():
            floor = min(rate, self._rule.floor)
            plan = SamplingPlan(period=number, salt=self._rule.salt, kappa=rate, floor=floor)
            if budget and total > 0 and costs.get(judge):
                kept = allocate(
                    whole[judge],
                    budget_tokens=budget * costs[judge] / total,
                    period=number,
                    salt=self._rule.salt,
                    floor=floor,
                )
                plan = replace(kept, kappa=min(rate, kept.kappa))
            plans[judge] = plan
        if budget:
            kappas = {judge: round(plan.kappa, 5) for judge, plan in plans.items()}
            _log.info("sampling_plan", period=number, kappa=kappas)
        return plans
