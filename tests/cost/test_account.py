"""The account counts each event once, and hears of work that no gateway forwarded."""

from __future__ import annotations

import pytest

from tidegauge.cost.account import CostAccount
from tidegauge.schemas.upstream_events import (
    MINUTE_MS,
    UpstreamMinute,
    UpstreamSample,
    UpstreamWork,
    WorkAmounts,
    WorkRow,
)

UPSTREAM = "10.0.0.7:8000"
HALF_A_MINUTE = (2**600 - 1).to_bytes(150, "little")
ROW = WorkRow("m/v1//", "acme", "served", WorkAmounts(requests=1, prompt_tokens=100))


def work(sequence: int = 1, start_ms: int = 0, time_ms: int = 0) -> UpstreamWork:
    minute = UpstreamMinute(UPSTREAM, start_ms, HALF_A_MINUTE, b"", (ROW,))
    return UpstreamWork(
        producer_id="vitals/0", sequence=sequence, time_ms=time_ms, minutes=(minute,)
    )


def sample(time_ms: int, running: float | None, *faults: str) -> UpstreamSample:
    return UpstreamSample(upstream=UPSTREAM, time_ms=time_ms, running=running, faults=faults)


def test_an_event_that_was_published_twice_counts_once() -> None:
    account = CostAccount(0, 2**62)
    for event in (work(1), work(1), work(2), work(1)):
        account.add(event)
    (charge,) = account.bill({UPSTREAM: 60.0}, 0, MINUTE_MS).charges.values()
    assert charge.work.requests == 2
    assert charge.usd == pytest.approx(0.5)


def test_a_worker_that_numbers_anew_is_heard_from_where_it_had_come_to() -> None:
    account = CostAccount(0, 2**62)
    account.add(work(41, time_ms=10_000))
    account.add(work(1, time_ms=5_000))  # measured again: known already
    account.add(work(2, time_ms=20_000))
    account.add(work(3, time_ms=30_000))
    (charge,) = account.bill({UPSTREAM: 60.0}, 0, MINUTE_MS).charges.values()
    assert charge.work.requests == 3


def test_samples_that_agree_change_nothing_whenever_they_are_taken() -> None:
    account = CostAccount(0, 2**62)
    account.add(work())
    for time_ms, running in ((1_000, 1.0), (2_000, 3.0), (45_000, 0.0)):
        account.add(sample(time_ms, running))
    (one,) = account.bill({UPSTREAM: 60.0}, 0, MINUTE_MS).upstreams
    assert one.idle_seconds == pytest.approx(30.0)
    assert one.residual_usd == pytest.approx(0.0)
    assert one.idle_by == "metrics"


def test_work_that_no_gateway_forwarded_is_residual_and_not_idle() -> None:
    account = CostAccount(0, 2**62)
    account.add(work())
    for time_ms in range(0, MINUTE_MS, 5_000):
        account.add(sample(time_ms, 1.0))
    (one,) = account.bill({UPSTREAM: 60.0}, 0, MINUTE_MS).upstreams
    assert one.idle_seconds == pytest.approx(0.0)
    assert one.residual_usd == pytest.approx(0.5)


def test_tokens_that_no_gateway_forwarded() -> None:
    account = CostAccount(0, 2**62)
    account.add(work())
    assert account.unforwarded_tokens(0, MINUTE_MS) == {}
    for time_ms, prompt, generated in ((15_000, 100.0, 0.0), (30_000, 30.0, 12.0)):
        account.add(
            UpstreamSample(
                upstream=UPSTREAM,
                time_ms=time_ms,
                prompt_tokens=prompt,
                generated_tokens=generated,
            )
        )
    assert account.unforwarded_tokens(0, MINUTE_MS) == {UPSTREAM: 42}
    assert account.unforwarded_tokens(MINUTE_MS, 2 * MINUTE_MS) == {}


def test_silence_is_remembered() -> None:
    account = CostAccount(0, 2**62)
    account.add(sample(1_000, 0.0))
    account.add(sample(2_000, None, "does not answer"))
    account.add(sample(1_500, 7.0))  # late: the newest stays
    assert account.newest[UPSTREAM].faults == ("does not answer",)
    assert account.answered_ms == {UPSTREAM: 1_000}


def test_a_server_that_never_answered_is_silent_since_it_was_first_asked() -> None:
    account = CostAccount(0, 2**62)
    for time_ms in (1_000, 16_000):
        account.add(sample(time_ms, None, "does not answer"))
    assert account.answered_ms == {UPSTREAM: 1_000}


def test_what_is_forgotten_is_gone() -> None:
    account = CostAccount(0, 2**62)
    account.add(work(1, 0))
    account.add(work(2, MINUTE_MS))
    account.keep(MINUTE_MS, 2 * MINUTE_MS)
    assert list(account.work.minutes) == [(UPSTREAM, MINUTE_MS)]


def test_times_that_a_producer_makes_up_do_not_fill_the_memory() -> None:
    account = CostAccount(10 * MINUTE_MS, 20 * MINUTE_MS)
    for sequence, minute in enumerate((9, 10, 19, 20, 10**9), start=1):
        account.add(work(sequence, minute * MINUTE_MS))
        account.add(sample(minute * MINUTE_MS, 1.0))
    assert [key[1] // MINUTE_MS for key in account.work.minutes] == [10, 19]
    assert account.newest[UPSTREAM].time_ms == 19 * MINUTE_MS


def test_upstreams_that_come_and_go_are_told_apart_for_ever() -> None:
    account = CostAccount(0, 2**62)
    for n in range(300):
        account.keep(n * MINUTE_MS, 2**62)
        minute = UpstreamMinute(f"10.0.0.{n}:8000", n * MINUTE_MS, HALF_A_MINUTE, b"", (ROW,))
        account.add(
            UpstreamWork(producer_id="vitals/0", sequence=n + 1, time_ms=n, minutes=(minute,))
        )
    assert list(account.work.minutes) == [("10.0.0.299:8000", 299 * MINUTE_MS)]


def test_the_last_word_of_a_server_is_forgotten_with_its_time() -> None:
    account = CostAccount(0, 2**62)
    account.add(sample(1_000, 0.0))
    account.keep(MINUTE_MS, 2**62)
    assert (account.newest, account.answered_ms) == ({}, {})


def test_tokens_that_were_counted_in_a_silence_are_those_of_its_minutes() -> None:
    account = CostAccount(0, 2**62)
    for n in range(4):
        account.add(work(n + 1, n * MINUTE_MS, n))
    told = UpstreamSample(
        upstream=UPSTREAM,
        time_ms=4 * MINUTE_MS,
        seconds=240.0,
        prompt_tokens=400.0,
        generated_tokens=8.0,
    )
    account.add(told)
    assert account.unforwarded_tokens(0, 5 * MINUTE_MS) == {UPSTREAM: pytest.approx(8.0)}
    assert account.unforwarded_tokens(2 * MINUTE_MS, 5 * MINUTE_MS) == {
        UPSTREAM: pytest.approx(4.0)
    }


def test_a_sample_after_the_range_tells_of_the_minutes_in_it_once() -> None:
    account = CostAccount(0, 10 * MINUTE_MS)
    told = UpstreamSample(
        upstream=UPSTREAM,
        time_ms=10 * MINUTE_MS + 5_000,
        seconds=604.0,
        prompt_tokens=500.0,
        generated_tokens=104.0,
    )
    for _ in range(2):  # published twice
        account.add(told)
    (minutes,) = account.told_tokens(0, 20 * MINUTE_MS).values()
    assert sorted(minutes) == [n * MINUTE_MS for n in range(10)]
    assert sum(minutes.values()) == pytest.approx(599.0)
    assert account.newest == {}
