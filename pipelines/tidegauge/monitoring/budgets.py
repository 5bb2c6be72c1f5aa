"""Verdicts on budgets: whether a month's money is spent faster than the month passes.

Like those on the pipeline's health they are facts, not statistical tests: they use none of the
false-alarm budget, and their alarms end by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from tidegauge.monitoring.catalog import ALL_TRAFFIC, COST_BUDGET, MonitorKey
from tidegauge.monitoring.verdicts import untested_verdict
from tidegauge.reports.cost_view import ALL_CUSTOMERS, BudgetBurn, CostView
from tidegauge.reports.formatting import dollars, duration, moment, times
from tidegauge.schemas import Segment
from tidegauge.schemas.findings import State, Verdict

__all__ = ["budget_key", "budget_verdicts"]

_STALE_MS: Final = 600_000


def budget_key(name: str) -> MonitorKey:
    """Return the monitor of a budget, with the segment that it is of."""
    segment = ALL_TRAFFIC if name == ALL_CUSTOMERS else Segment(model="", customer=name)
    return MonitorKey(COST_BUDGET, segment)


def budget_verdicts(
    view: CostView, known: Iterable[MonitorKey], *, now_ms: int
) -> Iterator[Verdict]:
    """Yield the verdicts on the budgets, and on those that are not set any more.

    An alarm stays while costs are not known; what was within its budget then is not known to be.

    Args:
        view: What the upstreams cost.
        known: Monitors with a verdict.
        now_ms: The time.
    """
    range_seconds = (view.bill.end_ms - view.bill.start_ms) / 1000
    found = {budget_key(one.name): one for one in view.budgets}
    for key, burn in found.items():
        if now_ms - view.time_ms > _STALE_MS and not burn.over:
            said = f"What is spent has not been known since {moment(view.time_ms)}."
            yield untested_verdict(key, State.LOW_DATA, said, now_ms)
        else:
            yield _verdict(key, burn, range_seconds, now_ms)
    for key in known:
        if key.monitor == COST_BUDGET and key not in found:
            yield untested_verdict(key, State.OK, "No budget is set.", now_ms)


def _verdict(key: MonitorKey, burn: BudgetBurn, range_seconds: float, now_ms: int) -> Verdict:
    budget = f"the budget of {dollars(burn.usd)} a month"
    if not burn.over:
        # Without numbers, so that a verdict is told again only when it changes.
        return untested_verdict(key, State.OK, f"Spending keeps within {budget}.", now_ms)
    sentence = (
        f"Spending is {times(burn.burn)} what {budget} allows over the last "
        f"{duration(range_seconds)}, and {times(burn.hour_burn)} over the last hour."
    )
    return untested_verdict(key, State.WARN, sentence, now_ms)
