from __future__ import annotations

import asyncio

import pytest

from tidegauge.adapters.vllm import JudgeUnreachableError
from tidegauge.workers.judge.pacing import RequestPacer


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

    async def __call__(self) -> int:
        self.looks += 1
        if self.looks == 2:
            self.looked_twice.set()
        return self.lengths.pop(0) if len(self.lengths) > 1 else self.lengths[0]


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
    async def away() -> int:
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
