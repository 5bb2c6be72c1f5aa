"""Work, samples and prices of an upstream, and what the monitor shows of them."""

from __future__ import annotations

from tidegauge.cost.account import CostAccount
from tidegauge.cost.hourly_bills import HourlyBills
from tidegauge.reports.cost_view import CostView, cost_view
from tidegauge.schemas.upstream_events import (
    GpuReading,
    UpstreamMinute,
    UpstreamSample,
    UpstreamWork,
    WorkAmounts,
    WorkRow,
)

UPSTREAM, PRICES = "10.0.0.7:8000", {"10.0.0.7:8000": 60.0}
NOW_MS = 1_767_232_800_000
HOUR_MS = 3_600_000
HALF_A_MINUTE = (2**600 - 1).to_bytes(150, "little")


def work(*customers: str, start_ms: int = NOW_MS - HOUR_MS) -> UpstreamWork:
    amounts = WorkAmounts(requests=1, openings=1, prompt_tokens=100)
    rows = tuple(WorkRow("m/v1//", name, "served", amounts) for name in customers)
    minute = UpstreamMinute(UPSTREAM, start_ms, HALF_A_MINUTE, b"", rows)
    return UpstreamWork(producer_id="vitals/0", sequence=1, time_ms=start_ms, minutes=(minute,))


def sample(*faults: str, time_ms: int = NOW_MS - 5_000) -> UpstreamSample:
    gpu = GpuReading(
        gpu="0",
        engine_active=0.9,
        tensor_active=0.4,
        memory_active=0.5,
        power_watts=600.0,
        energy_joules=7.2e6,
    )
    return UpstreamSample(
        upstream=UPSTREAM,
        time_ms=time_ms,
        running=4.0,
        waiting=1.0,
        kv_use=0.4,
        preemptions=1.0,
        prompt_tokens=900.0,
        cached_tokens=300.0,
        generated_tokens=50.0,
        prefix_queries=900.0,
        prefix_hits=300.0,
        finished={"stop": 3.0, "length": 1.0},
        gpus=(gpu,),
        faults=faults,
    )


def made_up_costs() -> CostView:
    account = CostAccount(0, 2**62)
    account.add(work("<b>acme</b>", "zeta"))
    account.add(sample(time_ms=NOW_MS - 90_000))
    account.add(sample("no answer"))
    return cost_view(HourlyBills(account), PRICES, NOW_MS, 2, {"all": 100.0})
