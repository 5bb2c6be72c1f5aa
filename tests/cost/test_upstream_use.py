"""The use of servers and GPUs over a range, from what they say at moments."""

from __future__ import annotations

from tidegauge.cost.account import CostAccount
from tidegauge.cost.upstream_use import GpuUse, UseSums
from tidegauge.reports.cost_sentences import use_sentences
from tidegauge.schemas.upstream_events import GpuReading, UpstreamSample

UPSTREAM = "10.0.0.7:8000"
HOUR_MS = 3_600_000


def sample(time_ms: int, running: float | None = None, **fields: object) -> UpstreamSample:
    return UpstreamSample(upstream=UPSTREAM, time_ms=time_ms, running=running, **fields)  # type: ignore[arg-type]


FIRST = sample(
    1_000,
    2.0,
    waiting=0.0,
    kv_use=0.2,
    gpus=(GpuReading(gpu="0", engine_active=0.8, power_watts=500.0),),
)
SECOND = sample(
    16_000,
    4.0,
    waiting=3.0,
    kv_use=0.6,
    preemptions=2.0,
    prompt_tokens=900.0,
    cached_tokens=300.0,
    generated_tokens=50.0,
    prefix_queries=900.0,
    prefix_hits=300.0,
    finished={"stop": 3.0},
    gpus=(
        GpuReading(gpu="0", engine_active=0.6, tensor_active=0.3, energy_joules=3.6e6),
        GpuReading(gpu="1", utilisation=0.9),
    ),
)
SILENT = sample(31_000, faults=("no answer",))


def test_gauges_have_a_mean_and_counts_a_sum() -> None:
    sums = UseSums()
    for one in (FIRST, SECOND, SILENT):
        sums.add(one)
    use = sums.use()
    assert (use.samples, use.running, use.most_running) == (2, 3.0, 4.0)
    assert (use.waiting, use.most_waiting, use.kv_use, use.most_kv_use) == (1.5, 3.0, 0.4, 0.6)
    assert (use.preemptions, use.prompt_tokens, use.prefix_hit_share) == (2.0, 900.0, 1 / 3)
    assert use.finished == {"stop": 3.0}
    assert use.gpus == (
        GpuUse("0", engine_active=0.7, tensor_active=0.3, power_watts=500.0, energy_joules=3.6e6),
        GpuUse("1", utilisation=0.9),
    )
    (said,) = use_sentences({UPSTREAM: use})
    assert said == (
        "Use of 10.0.0.7:8000: 3.00 requests at the mean; at most 3 waiting; 40% of the cache in "
        "use; 2 preemptions; 33.3% of the tokens looked up were in its cache; GPU 0: engines "
        "active 70%, tensor cores 30%, 500 W, 1.00 kWh; GPU 1: in use 90%."
    )


def test_what_is_not_told_is_not_zero() -> None:
    sums = UseSums()
    sums.add(SILENT)
    use = sums.use()
    assert (use.samples, use.running, use.preemptions, use.prefix_hit_share) == (
        0,
        None,
        None,
        None,
    )
    assert list(use_sentences({UPSTREAM: use})) == []


def test_parts_of_a_range_merge() -> None:
    whole = UseSums()
    parts = [UseSums(), UseSums()]
    for part, one in zip(parts, (FIRST, SECOND), strict=True):
        part.add(one)
        whole.add(one)
    parts[0].merge(parts[1])
    assert parts[0].use() == whole.use()


def test_the_account_keeps_the_use_of_the_hours_that_it_keeps() -> None:
    account = CostAccount(0, 2**62)
    account.add(FIRST)
    account.add(SECOND)
    account.add(sample(HOUR_MS + 1_000, 9.0))
    used = account.use(0, 2 * HOUR_MS)[UPSTREAM]
    assert (used.running, used.most_running, used.most_kv_use) == (5.0, 9.0, 0.6)
    assert account.use(HOUR_MS, 2 * HOUR_MS)[UPSTREAM].running == 9.0
    account.keep(HOUR_MS, 2**62)
    assert account.use(0, 2 * HOUR_MS)[UPSTREAM].running == 9.0
