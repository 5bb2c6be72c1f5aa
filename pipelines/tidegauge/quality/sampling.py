"""Which answers are judged: a hash decides, and everyone can check its decision.

``u = (H64(salt + request_id) >> 11) / 2**53`` is uniform on [0, 1) over request ids; an
answer is judged if ``u`` is below its inclusion probability. The inclusion probability depends
on the stratum alone, never on the answer, and is written into the judgment.

The rates are Neyman's optimal allocation with a floor: proportional to the spread of the
score in the stratum over the square root of a judgment's cost, mixed with a fifth of equal
shares, so that a wrong estimate of its spread leaves no stratum without judgments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tidegauge.quality.errors import SamplingError
from tidegauge.schemas.hashing import unit_hash

__all__ = ["FLOOR", "SamplingPlan", "Stratum", "allocate", "draw"]

FLOOR: Final = 0.02
"""Least inclusion probability: it bounds the weights, and with them every interval."""

_OPTIMAL_SHARE: Final = 0.8
_DOUBLINGS: Final = 60


def draw(salt: str, request_id: str) -> float:
    """Return the request's number ``u`` in the draw, uniform on [0, 1).

    Example:
        >>> 0 <= draw("salt", "request") < 1
        True
        >>> draw("salt", "request") == draw("salt", "request")
        True
    """
    return unit_hash(salt + request_id)


@dataclass(frozen=True, slots=True)
class Stratum:
    """Expectations for one stratum in the next period.

    Attributes:
        requests: Expected number of answers that can be judged.
        spread: Expected standard deviation of the score.
        tokens: Expected tokens of one judgment.
    """

    requests: float
    spread: float
    tokens: float

    @property
    def ratio(self) -> float:
        """Return the spread over the square root of the cost."""
        return self.spread / math.sqrt(self.tokens)


@dataclass(frozen=True, slots=True)
class SamplingPlan:
    """Inclusion probabilities, fixed before the answers that they apply to are seen.

    Attributes:
        period: Number of the plan, such as the second of event time from which it holds.
        salt: Salt of the draw.
        kappa: Scale of the rates, which keeps the plan within its budget.
        floor: Least inclusion probability.
        relative: Stratum -> its ratio divided by the mean ratio; 1 for a stratum not listed.
    """

    period: int
    salt: str
    kappa: float
    floor: float = FLOOR
    relative: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the rates.

        Raises:
            SamplingError: The floor is not in (0, 1], kappa is negative, or the salt is empty.
        """
        if not self.salt:
            raise SamplingError(
                "the salt of the sampling hash is empty: the draw would choose the answers that "
                "sketches keep as examples; give it any text"
            )
        if not 0 < self.floor <= 1:
            raise SamplingError(f"the least inclusion probability is {self.floor}, not in (0, 1]")
        if not self.kappa >= 0:
            raise SamplingError(f"the scale of the sampling rates is {self.kappa}, below 0")

    def inclusion_probability(self, stratum: str) -> float:
        """Return ``min(1, max(floor, kappa * (.8 * r / mean r + .2)))``.

        Example:
            >>> SamplingPlan(period=1, salt="s", kappa=0.1).inclusion_probability("any")
            0.1
        """
        share = _OPTIMAL_SHARE * self.relative.get(stratum, 1.0) + 1 - _OPTIMAL_SHARE
        return min(1.0, max(self.floor, self.kappa * share))

    def scaled(self, factor: float) -> SamplingPlan:
        """Return the same period's plan with all rates scaled, as far as the floor allows.

        An answer drawn at a smaller scale is also drawn at a larger one. So under overload the
        scale is reduced, and the answers that are still drawn have the reduced probability.
        """
        return replace(self, kappa=self.kappa * factor)


def allocate(
    strata: Mapping[str, Stratum],
    *,
    budget_tokens: float,
    period: int,
    salt: str,
    floor: float = FLOOR,
) -> SamplingPlan:
    """Return the plan that is expected to spend the budget.

    If the floor alone costs more than the budget, the floor stays and the plan costs more, so
    that there is still an estimate. If judging all answers costs less than the budget, all are
    judged.

    Args:
        strata: Name -> expectations for the period; strata without requests or without spread
            get the mean ratio.
        budget_tokens: Tokens that the period's judgments may take.
        period: Number of the plan.
        salt: Salt of the draw.
        floor: Least inclusion probability.

    Raises:
        SamplingError: The budget is not positive, or the floor is not in (0, 1].
    """
    if not budget_tokens > 0:
        raise SamplingError(f"the judges' budget is {budget_tokens} tokens: it must be above 0")
    known = {
        name: stratum
        for name, stratum in strata.items()
        if stratum.requests > 0 and stratum.tokens > 0 and math.isfinite(stratum.spread)
    }
    relative = _relative(known)

    def plan(kappa: float) -> SamplingPlan:
        return SamplingPlan(period=period, salt=salt, kappa=kappa, floor=floor, relative=relative)

    def cost(kappa: float) -> float:
        rates = plan(kappa)
        return math.fsum(
            stratum.requests * stratum.tokens * rates.inclusion_probability(name)
            for name, stratum in known.items()
        )

    low, high = 0.0, 1 / (1 - _OPTIMAL_SHARE)
    if cost(high) <= budget_tokens:
        return plan(high)
    for _ in range(_DOUBLINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) <= budget_tokens else (low, middle)
    return plan(low)


def _relative(strata: Mapping[str, Stratum]) -> dict[str, float]:
    spreading: Sequence[Stratum] = [stratum for stratum in strata.values() if stratum.spread > 0]
    if not spreading:
        return {}
    total = math.fsum(stratum.requests for stratum in spreading)
    mean = math.fsum(stratum.requests * stratum.ratio for stratum in spreading) / total
    return {name: stratum.ratio / mean for name, stratum in strata.items() if stratum.spread > 0}
