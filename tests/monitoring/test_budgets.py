"""Alarms on budgets."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.monitor.made_up_costs import made_up_costs

from tidegauge.monitoring.incidents import incidents
from tidegauge.reports.cost_view import ALL_CUSTOMERS, BudgetBurn, CostView
from tidegauge.schemas.findings import State

if TYPE_CHECKING:
    from tests.monitoring.conftest import Harness


def spending(*budgets: BudgetBurn) -> CostView:
    return replace(made_up_costs(), budgets=budgets)


def test_a_budget_alarms_while_it_is_spent_too_fast(harness: Harness) -> None:
    fast = BudgetBurn("acme", 500.0, 60.0, 3.6, 2.1)
    harness.monitor.note_costs(spending(fast))
    harness.tick(1_000)
    (alert,) = harness.alerts("cost.budget")
    assert (alert.severity, alert.status) == ("warn", "firing")
    assert alert.segment.customer == "acme"
    assert alert.summary == (
        "all traffic, customer acme: Spending is 3.6 times what the budget of $500.00 a month "
        "allows over the last 2 h, and 2.1 times over the last hour."
    )
    (incident,) = incidents(harness.alerts("cost.budget"))
    assert incident.title().startswith("customer acme since ")
    assert incident.title().endswith(": it spends more than its budget")
    harness.monitor.note_costs(spending(replace(fast, hour_burn=0.9)))
    harness.tick(2_000)
    assert harness.alerts("cost.budget")[-1].status == "resolved"


def test_a_budget_within_bounds_is_said_once(harness: Harness) -> None:
    for tick, burn in enumerate((0.5, 0.6, 0.7)):
        harness.monitor.note_costs(spending(BudgetBurn(ALL_CUSTOMERS, 100.0, 1.0, burn, burn)))
        harness.tick(tick)
    (verdict,) = harness.verdicts("cost.budget")
    assert (verdict.state, verdict.segment.key) == (State.OK, "///")


def test_what_is_spent_is_not_known_for_ever(harness: Harness) -> None:
    burns = (BudgetBurn("acme", 500.0, 60.0, 3.6, 2.1), BudgetBurn("b", 500.0, 1.0, 0.1, 0.1))
    costs = replace(spending(*burns), time_ms=1_000)
    harness.monitor.note_costs(costs)
    for tick in (2_000, 700_000, 800_000):
        harness.tick(tick)
    states = [(one.segment.customer, one.state) for one in harness.verdicts("cost.budget")]
    assert states == [("acme", State.WARN), ("b", State.OK), ("b", State.LOW_DATA)]
    assert "has not been known since" in harness.verdicts("cost.budget")[-1].sentence
    assert [alert.status for alert in harness.alerts("cost.budget")] == ["firing"]


def test_an_alarm_stays_while_costs_are_not_known_and_ends_with_its_budget(
    harness: Harness,
) -> None:
    harness.monitor.note_costs(spending(BudgetBurn("acme", 500.0, 60.0, 3.6, 2.1)))
    harness.tick(1_000)
    harness.monitor.note_costs(None)
    harness.tick(2_000)
    assert [alert.status for alert in harness.alerts("cost.budget")] == ["firing"]
    harness.monitor.note_costs(spending())
    harness.tick(3_000)
    assert [alert.status for alert in harness.alerts("cost.budget")] == ["firing", "resolved"]
    assert harness.verdicts("cost.budget")[-1].sentence == "No budget is set."
