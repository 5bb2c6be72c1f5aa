from __future__ import annotations

import asyncio

import pytest
from tests.workers.judge.conftest import ScriptedServer

from tidegauge.adapters.gateway_latency import GatewayLatency
from tidegauge.adapters.vllm import JudgeUnreachableError, VllmClient
from tidegauge.workers.judge.pacing import Crowding, RequestPacer


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


class Queue:
    """A server's queue: what it says at each look, the last for ever."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = list(lengths)
        self.looks = 0
        self.looked_twice = asyncio.Event()

    async def __call__(self) -> bool:
        self.looks += 1
        if self.looks == 2:
            self.looked_twice.set()
        return (self.lengths.pop(0) if len(self.lengths) > 1 else self.lengths[0]) > 0


async def test_no_more_than_the_limit_run_at_a_time() -> None:
    pace = RequestPacer(Queue(0), 3)
    running = most = 0

    async def work() -> None:
        nonlocal running, most
        async with pace.turn():
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(work() for _ in range(20)))
    assert most == 3


async def test_waiting_requests_halve_the_turns_and_an_empty_queue_brings_them_back() -> None:
    queue = Queue(5, 2, 0, 0, 0)
    pace = RequestPacer(queue, 8, clock=Clock())
    async with pace.turn():
        assert queue.looks == 3
        assert pace.allowed == 3
    async with pace.turn():
        assert pace.allowed == 4


async def test_turns_wait_while_requests_wait() -> None:
    queue = Queue(1)
    pace = RequestPacer(queue, 4, clock=Clock())
    taking = asyncio.create_task(pace.turn().__aenter__())
    await asyncio.wait_for(queue.looked_twice.wait(), 5)
    assert not taking.done()
    assert pace.allowed == 1
    queue.lengths = [0]
    await asyncio.wait_for(taking, 5)


async def test_a_server_without_metrics_has_the_limit_only() -> None:
    async def away() -> bool:
        raise JudgeUnreachableError("no metrics")

    pace = RequestPacer(away, 2)
    async with pace.turn():
        assert pace.allowed == 2


async def test_a_turn_that_fails_is_given_back() -> None:
    pace = RequestPacer(Queue(0), 1)

    async def fail() -> None:
        async with pace.turn():
            raise ValueError("broken")

    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            await fail()
    async with asyncio.timeout(1), pace.turn():
        pass


@pytest.mark.parametrize(
    ("waiting", "cache", "crowded"), [(0, 0.2, False), (1, 0.2, True), (0, 0.95, True)]
)
async def test_a_queue_and_a_full_cache_are_crowding(
    server: ScriptedServer, *, waiting: int, cache: float, crowded: bool
) -> None:
    server.waiting, server.cache_usage = waiting, cache
    async with VllmClient(server.url) as client:
        assert await Crowding(client)() is crowded


async def test_slow_first_tokens_of_the_gateways_clients_are_crowding(
    server: ScriptedServer,
) -> None:
    gateway = GatewayLatency(f"{server.url}/metrics")
    async with VllmClient(server.url) as client, gateway:
        crowded = Crowding(client, gateway, limit_seconds=0.5)
        server.first_tokens = (10, 900.0)
        assert not await crowded(), "what was before the first look does not count"
        server.first_tokens = (20, 901.0)
        assert not await crowded()
        server.first_tokens = (30, 921.0)
        assert await crowded()
        assert not await crowded(), "no requests since"


async def test_a_gateway_that_is_away_is_no_crowding(
    server: ScriptedServer, unused_tcp_port: int
) -> None:
    gateway = GatewayLatency(f"http://127.0.0.1:{unused_tcp_port}/metrics")
    async with VllmClient(server.url) as client, gateway:
        assert not await Crowding(client, gateway, limit_seconds=0.5)()
