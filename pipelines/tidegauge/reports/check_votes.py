"""A check's rate, corrected by a judge's votes on a sample of the answers.

The check is made on every answer and errs; the judge votes on a sample and may err less. The
corrected rate is the check's own plus the weighted mean of vote minus check over the judged
answers: the difference estimator, right for what the judge would say of all answers however wrong
the check is. Conversations are clusters.

Source: Sarndal, Swensson and Wretman, "Model Assisted Survey Sampling" (1992), section 6.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from scipy.special import stdtrit

from tidegauge.detection.random_groups import ratio_variance
from tidegauge.schemas import measures
from tidegauge.schemas.sketches import Sketch

__all__ = ["CheckVotes", "check_votes"]

_ALPHA: Final = 0.05
_VOTES: Final = measures.votes("", "").partition("/")[0] + "/"


@dataclass(frozen=True, slots=True)
class CheckVotes:
    """What a judge says of one check of the output.

    Attributes:
        check: The check's name.
        judge: The judge's label.
        checked: Answers that the check was made on.
        rate: Share of them that failed it.
        judged: Answers of the sample that the judge voted on.
        disagreement: Weighted share of these on which judge and check disagree.
        missed: Weighted share of these that failed by the judge alone.
        corrected: The rate corrected by the judge, in [0, 1].
        low: Lower end of its 95% interval, valid for one look; None where answers are too few.
        high: Upper end.
    """

    check: str
    judge: str
    checked: int
    rate: float
    judged: int
    disagreement: float
    missed: float
    corrected: float
    low: float | None
    high: float | None


def check_votes(quality: Sketch, vitals: Sketch) -> tuple[CheckVotes, ...]:
    """Return one entry for each judge that votes on a check.

    Args:
        quality: A ``quality`` sketch.
        vitals: The ``vitals`` sketch of the same time and segment.
    """
    found = []
    for name, cells in sorted(quality.totals.items()):
        if not name.startswith(_VOTES):
            continue
        judge, _, check = name.removeprefix(_VOTES).partition("/")
        indicator = measures.failed(check)
        checked = vitals.trials.get(indicator, 0)
        if checked and sum(cells.values()):
            found.append(
                _corrected(quality, judge, check, vitals.hits.get(indicator, 0) / checked, checked)
            )
    return tuple(found)


def _corrected(quality: Sketch, judge: str, check: str, rate: float, checked: int) -> CheckVotes:
    cells = quality.totals[measures.votes(judge, check)]
    gaps = quality.totals.get(measures.vote_gaps(judge, check), {})
    weights = quality.totals.get(measures.vote_weights(judge, check), {})
    whole = sum(cells.values())
    missed, false = cells.get("judge", 0) / whole, cells.get("check", 0) / whole
    corrected = min(1.0, max(0.0, rate + missed - false))
    variance = ratio_variance(gaps, weights) + rate * (1 - rate) / checked
    low = high = None
    if math.isfinite(variance) and missed + false > 0:
        reach = float(stdtrit(len(weights) - 1, 1 - _ALPHA / 2)) * math.sqrt(variance)
        low, high = max(0.0, corrected - reach), min(1.0, corrected + reach)
    return CheckVotes(
        check=check,
        judge=judge,
        checked=checked,
        rate=rate,
        judged=quality.hits.get(measures.voted(judge, check), 0),
        disagreement=missed + false,
        missed=missed,
        corrected=corrected,
        low=low,
        high=high,
    )
