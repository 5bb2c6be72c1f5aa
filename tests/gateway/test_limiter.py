"""Limits of a key: taken, given back, shared, and what happens when the store is away."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import msgspec
import pytest

from tidegauge.gateway.errors import RefusedError
from tidegauge.gateway.policy.keys import Customer
from tidegauge.gateway.policy.limit_counters import Amounts, LocalCounters, SharedCounters
from tidegauge.gateway.policy.limiter import Limiter, Reservation


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


MINUTE = 60.0 * 1_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock(MINUTE)


@pytest.fixture
def limiter(clock: Clock) -> Limiter:
    return Limiter(LocalCounters(clock), clock)


def customer(**limits: int) -> Customer:
    return Customer(
        name="acme",
        key_id="k",
        requests_per_minute=limits.get("rpm"),
        tokens_per_minute=limits.get("tpm"),
        budget_usd_per_day=limits.get("usd"),
    )


async def reserve(limiter: Limiter, who: Customer, tokens: int = 10) -> Reservation:
    reservation = await limiter.reserve(who, tokens)
    assert reservation is not None
    return reservation


async def test_no_limits_no_reservation(limiter: Limiter) -> None:
    assert await limiter.reserve(customer(), 10**9) is None


async def test_requests_slide_out_of_the_minute(limiter: Limiter, clock: Clock) -> None:
    who = customer(rpm=10)
    for _ in range(10):
        await reserve(limiter, who)
    with pytest.raises(RefusedError) as refused:
        await reserve(limiter, who)
    headers = dict(refused.value.headers)
    assert headers[b"x-ratelimit-remaining-requests"] == b"0"
    wait = int(headers[b"retry-after"])
    assert 60 <= wait <= 67
    clock.now += wait
    await reserve(limiter, who)
    with pytest.raises(RefusedError):
        await reserve(limiter, who)
    clock.now += 120
    for _ in range(10):
        await reserve(limiter, who)


async def test_remaining_is_told(limiter: Limiter) -> None:
    headers = dict((await reserve(limiter, customer(rpm=5, tpm=100), tokens=30)).headers)
    assert headers[b"x-ratelimit-remaining-requests"] == b"4"
    assert headers[b"x-ratelimit-limit-tokens"] == b"100"
    assert headers[b"x-ratelimit-remaining-tokens"] == b"70"


async def test_tokens_are_settled(limiter: Limiter) -> None:
    who = customer(tpm=100)
    first = await reserve(limiter, who, 80)
    with pytest.raises(RefusedError) as refused:
        await reserve(limiter, who, 80)
    assert refused.value.type == "tokens"
    await limiter.settle(first, 15, None)
    second = await reserve(limiter, who, 80)
    await limiter.settle(second, 90, None)
    with pytest.raises(RefusedError):
        await reserve(limiter, who, 1)


async def test_a_refusal_for_tokens_takes_no_request(limiter: Limiter) -> None:
    who = customer(rpm=2, tpm=100)
    await reserve(limiter, who, 100)
    for _ in range(3):
        with pytest.raises(RefusedError) as refused:
            await reserve(limiter, who, 1)
        assert refused.value.type == "tokens"


async def test_a_request_larger_than_the_limit_takes_all_of_it(limiter: Limiter) -> None:
    assert (await reserve(limiter, customer(tpm=100), 10**6)).tokens == 100


async def test_settling_counts_in_the_reservations_minute(limiter: Limiter, clock: Clock) -> None:
    who = customer(tpm=100)
    first = await reserve(limiter, who, 100)
    clock.now += 125
    await limiter.settle(first, 0, None)
    headers = dict((await reserve(limiter, who, 10)).headers)
    assert headers[b"x-ratelimit-remaining-tokens"] == b"90"


async def test_a_days_budget(limiter: Limiter, clock: Clock) -> None:
    who = customer(usd=1)
    await limiter.settle(await reserve(limiter, who), 10, 0.6)
    await limiter.settle(await reserve(limiter, who), 10, 0.6)
    with pytest.raises(RefusedError) as refused:
        await reserve(limiter, who)
    assert refused.value.code == "insufficient_quota"
    assert 0 < int(dict(refused.value.headers)[b"retry-after"]) <= 86_401
    clock.now += 86_400
    await reserve(limiter, who)


async def test_keys_are_counted_apart(limiter: Limiter) -> None:
    await reserve(limiter, customer(rpm=1))
    await reserve(limiter, Customer(name="acme", key_id="other", requests_per_minute=1))


class Away:
    async def add(self, name: str, amount: int, expiry_seconds: int) -> int:
        raise ConnectionError(name, amount, expiry_seconds)

    async def get(self, name: str) -> int:
        raise ConnectionError(name)

    async def slide(self, window: int, amounts: Amounts) -> list[tuple[int, int]]:
        raise ConnectionError(window, amounts)

    async def close(self) -> None:
        raise ConnectionError


async def test_with_the_store_away_the_setting_decides(clock: Clock) -> None:
    failures: list[Exception] = []
    opened = Limiter(Away(), clock, when_down="open", on_failure=failures.append)
    assert await opened.reserve(customer(rpm=1), 1) is None
    closed = Limiter(Away(), clock, when_down="closed", on_failure=failures.append)
    with pytest.raises(RefusedError) as refused:
        await closed.reserve(customer(rpm=1), 1)
    assert refused.value.status == 429
    await closed.settle(Reservation(customer(tpm=5), 0, 3, [], 0, 0), 1, None)
    assert len(failures) == 3


async def test_local_counters_forget(clock: Clock) -> None:
    counters = LocalCounters(clock)
    for n in range(5000):
        await counters.add(f"n{n}", 1, 10)
    clock.now += 11
    await counters.add("m", 1, 10)
    for window in range(5000):
        await counters.slide(window, [(f"n{window}", 1)])
    assert len(counters._windows) < 4097
    assert len(counters._numbers) < 100


@pytest.fixture
def redis_url() -> Iterator[str]:
    server = shutil.which("redis-server")
    if server is None:
        pytest.skip("redis-server is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}"
        process.terminate()


async def test_replicas_share_their_limits(redis_url: str, clock: Clock) -> None:
    replicas = [Limiter(SharedCounters(redis_url), clock) for _ in range(2)]
    who = customer(rpm=3, tpm=100)
    for number in range(3):
        reservation = await reserve(replicas[number % 2], who, 20)
        await replicas[number % 2].settle(reservation, 10, None)
    for replica in replicas:
        with pytest.raises(RefusedError):
            await replica.reserve(who, 1)
        await replica.close()


async def test_sixty_requests_at_once_pass_no_limit(limiter: Limiter) -> None:
    for who in (customer(rpm=2), customer(tpm=20)):
        who = msgspec.structs.replace(who, key_id=str(who))  # noqa: PLW2901 - counted apart
        tries = [limiter.reserve(who, 10) for _ in range(60)]
        done = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(each, Reservation) for each in done) == 2
        assert sum(isinstance(each, RefusedError) for each in done) == 58


async def test_sixty_requests_at_once_pass_no_budget(limiter: Limiter, clock: Clock) -> None:
    who = customer(usd=2)
    tries = [limiter.reserve(who, 10, 1.0) for _ in range(60)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    reserved = [each for each in done if isinstance(each, Reservation)]
    assert len(reserved) == 2
    assert [each.code for each in done if isinstance(each, RefusedError)] == [
        "insufficient_quota"
    ] * 58
    for each in reserved:  # they cost less than was reserved
        await limiter.settle(each, 10, 0.5)
    clock.now += 61
    assert await limiter.reserve(who, 10, 1.0) is not None


async def test_requests_at_once_must_fit_and_a_single_one_is_served(limiter: Limiter) -> None:
    who = customer(usd=26)
    tries = [limiter.reserve(who, 10, 11.0) for _ in range(60)]
    done = await asyncio.gather(*tries, return_exceptions=True)
    reserved = [each for each in done if isinstance(each, Reservation)]
    assert len(reserved) == 2  # three would reserve 33 USD
    for each in reserved:
        await limiter.settle(each, 10, 12.5)
    last = await limiter.reserve(who, 10, 11.0)  # a single one, with a USD left
    assert last is not None
    with pytest.raises(RefusedError):
        await limiter.reserve(who, 10, 0.1)
    await limiter.settle(last, 10, 1.0)
    with pytest.raises(RefusedError):
        await limiter.reserve(who, 10, 0.1)


async def test_where_the_cost_is_not_known_the_last_requests_is_reserved(limiter: Limiter) -> None:
    who = customer(usd=2)
    await limiter.settle(await reserve(limiter, who), 10, 1.0)
    done = await asyncio.gather(
        *(limiter.reserve(who, 10) for _ in range(60)), return_exceptions=True
    )
    assert sum(isinstance(each, Reservation) for each in done) == 1


async def test_a_request_refused_for_its_tokens_reserves_no_cost(limiter: Limiter) -> None:
    who = customer(usd=2, tpm=10)
    await reserve(limiter, who, 10)
    for _ in range(10):
        with pytest.raises(RefusedError) as refused:
            await limiter.reserve(who, 10, 0.5)
        assert refused.value.code == "rate_limit_exceeded"


async def test_a_request_that_may_use_more_than_the_limit_gets_what_is_left(
    limiter: Limiter,
) -> None:
    who = customer(tpm=20_000)
    await limiter.settle(await reserve(limiter, who, 10), 10, None)
    large = await reserve(limiter, who, 32_768)
    assert large.tokens == 19_990
    assert dict(large.headers)[b"x-ratelimit-remaining-tokens"] == b"0"
    with pytest.raises(RefusedError):
        await reserve(limiter, who, 32_768)
    await limiter.settle(large, 100, None)
    assert (await reserve(limiter, who, 32_768)).tokens == 19_890


@pytest.mark.parametrize("tokens", [-1_000_000, -1])
async def test_a_usage_below_zero_moves_no_limit(limiter: Limiter, tokens: int) -> None:
    who = customer(tpm=100, usd=1)
    await limiter.settle(await reserve(limiter, who, 60), tokens, -1e6)
    with pytest.raises(RefusedError):
        await reserve(limiter, who, 60)
    await limiter.settle(await reserve(limiter, who, 10), 10, 1.5)
    with pytest.raises(RefusedError) as refused:
        await reserve(limiter, who, 10)
    assert refused.value.code == "insufficient_quota"


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), 1e300])
async def test_no_usage_is_too_large_to_be_counted(limiter: Limiter, cost: float) -> None:
    await limiter.settle(await reserve(limiter, customer(tpm=100, usd=1), 60), 2**70, cost)
    with pytest.raises(RefusedError):
        await reserve(limiter, customer(tpm=100), 1)
