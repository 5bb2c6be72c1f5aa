"""Pacing of requests to the judges' server: fewer while its queue is not empty."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from tidegauge.adapters.vllm import JudgeServerError

__all__ = ["RequestPacer"]

_LOOK_SECONDS: Final = 0.25
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 2.0


class RequestPacer:
    """Gives turns to requests: at most ``limit`` at a time, fewer while requests wait.

    While a request waits in the server's queue, the number of turns is halved and new ones are
    paused, longer each time; an empty queue restores them one by one. If the server does not
    report its queue, only the limit applies.

    Args:
        waiting: Returns how many requests wait in the server's queue.
        limit: Most calls at a time.
        clock: Monotonic clock, seconds.
    """

    def __init__(
        self,
        waiting: Callable[[], Awaitable[int]],
        limit: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waiting = waiting
        self._limit = limit
        self._clock = clock
        self._allowed = limit
        self._running = 0
        self._looked = float("-inf")
        self._pause = _FIRST_PAUSE_SECONDS
        self._freed = asyncio.Condition()
        self._looking = asyncio.Lock()

    @property
    def allowed(self) -> int:
        """Number of turns that may be taken at a time now."""
        return self._allowed

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it inside the block."""
        await self._give_way()
        async with self._freed:
            await self._freed.wait_for(lambda: self._running < self._allowed)
            self._running += 1
        try:
            yield
        finally:
            async with self._freed:
                self._running -= 1
                self._freed.notify_all()

    async def _give_way(self) -> None:
        async with self._looking:
            while self._clock() - self._looked >= _LOOK_SECONDS:
                crowded = await self._crowded()
                self._looked = self._clock()
                if not crowded:
                    self._allowed = min(self._limit, self._allowed + 1)
                    self._pause = _FIRST_PAUSE_SECONDS
                    return
                self._allowed = max(1, self._allowed // 2)
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)

    async def _crowded(self) -> bool:
        try:
            return await self._waiting() > 0
        except JudgeServerError:
            return False
