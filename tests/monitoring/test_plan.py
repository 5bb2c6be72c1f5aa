from __future__ import annotations

import math

import pytest

from tidegauge.monitoring.errors import PlanError
from tidegauge.monitoring.plan import (
    CUSTOMER_SHARE,
    SHARES,
    MonitorPlan,
    log_threshold,
    monitor_shares,
)
from tidegauge.schemas.findings import Monitor

MONITORS = (
    "drift.topics",
    "quality.likelihood",
    "quality.rubric",
    "latency.total",
    "latency.first_token",
    "errors.rate",
    "cost.request",
)


def test_the_whole_deployment_spends_one_budget() -> None:
    plan = MonitorPlan()
    alarms_a_second = sum(
        math.exp(-log_threshold(plan, share, rank))
        for share in (*monitor_shares(map(Monitor.parse, MONITORS)).values(), CUSTOMER_SHARE)
        for rank in range(1, 10_000)
    )
    promised = (1 - SHARES["swap"]) / (plan.false_alarm_days * 86_400)
    assert 0.99 * promised < alarms_a_second <= promised


def test_signals_share_out_everything() -> None:
    assert sum(SHARES.values()) + CUSTOMER_SHARE == pytest.approx(1)


@pytest.mark.parametrize(
    "wrong",
    [{"window_ms": 0}, {"false_alarm_days": -1.0}, {"comparison_alpha": 1.0}, {"most_segments": 0}],
)
def test_a_setting_out_of_range_is_named(wrong: dict[str, float]) -> None:
    with pytest.raises(PlanError, match=next(iter(wrong))):
        MonitorPlan(**wrong)  # type: ignore[arg-type] # the wrong value is the point
