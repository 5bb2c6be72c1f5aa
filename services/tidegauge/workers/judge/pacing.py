"""Pacing of requests to the judges' server: fewer while it, or the gateway, is busy."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from tidegauge.adapters.gateway_latency import GatewayLatency
from tidegauge.adapters.vllm import JudgeServerError, VllmClient

__all__ = ["Crowding", "RequestPacer"]

_LOOK_SECONDS: Final = 0.25
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 2.0


_FULL_CACHE: Final = 0.9


class Crowding:
    """Tells whether judging is in the way of others.

    It is while requests wait in the judges' server's queue, its key-value cache is nearly full,
    or the gateway's clients wait longer than a limit for their first token.

    Args:
        client: Client of the judges' server.
        gateway: The gateway's latency; None not to look at it.
        limit_seconds: Longest mean time to the first token.
    """

    def __init__(
        self, client: VllmClient, gateway: GatewayLatency | None = None, limit_seconds: float = 0.0
    ) -> None:
        self._client = client
        self._gateway = gateway
        self._limit_seconds = limit_seconds

    async def __call__(self) -> bool:
        """Return whether it is.

        Raises:
            JudgeServerError: The server does not tell.
        """
        if self._gateway is not None:
            mean = await self._gateway.mean_seconds()
            if mean is not None and mean > self._limit_seconds:
                return True
        load = await self._client.load()
        return load.waiting > 0 or load.cache_usage > _FULL_CACHE


class RequestPacer:
    """Gives turns to requests: at most ``limit`` at a time, fewer while it is crowded.

    While it is crowded, the number of turns is halved and new ones are paused, longer each time;
    afterwards they are restored one by one. If that is not known, only the limit applies.

    Args:
        crowded: Returns whether judging is in the way of others; see ``Crowding``.
        limit: Most calls at a time.
        clock: Monotonic clock, seconds.
    """

    def __init__(
        self,
        crowded: Callable[[], Awaitable[bool]],
        limit: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_crowded = crowded
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
            return await self._is_crowded()
        except JudgeServerError:
            return False
