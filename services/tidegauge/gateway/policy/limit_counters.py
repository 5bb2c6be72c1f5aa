"""Counters for the limits: in this process, or in Redis for all replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import limits.errors
from limits.aio.storage import RedisStorage

from tidegauge.gateway.errors import ConfigurationError
from tidegauge.runtime.environment import shown_address

__all__ = ["Amounts", "Counters", "LocalCounters", "SharedCounters"]

Amounts = Sequence[tuple[str, int]]

_MANY: Final = 4096
_ANSWER_SECONDS: Final = 0.25
_WINDOW_SECONDS: Final = 180


class Counters(Protocol):
    """Counters by name that expire some time after the first addition."""

    async def add(self, name: str, amount: int, expiry_seconds: int) -> int:
        """Add to a counter and return its value."""

    async def get(self, name: str) -> int:
        """Return a counter's value, 0 if it does not exist."""

    async def slide(self, window: int, amounts: Amounts) -> list[tuple[int, int]]:
        """Add to counters of a window; return each one's value in this and the previous window.

        Args:
            window: Number of the minute.
            amounts: Name of each counter, and the amount to add.
        """

    async def close(self) -> None:
        """Close the connections to the store."""


class LocalCounters:
    """Counters in this process's memory.

    The ``limits`` package's own memory storage is not used: it starts a thread every 10 ms under
    load, which is more than a request may cost here.

    Args:
        clock: Monotonic clock in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._numbers: dict[str, tuple[int, float]] = {}
        self._windows: dict[str, list[int]] = {}

    async def add(self, name: str, amount: int, expiry_seconds: int) -> int:
        """Add to a counter and return its value."""
        now = self._clock()
        number, expires = self._numbers.get(name, (0, 0.0))
        if expires <= now:
            number, expires = 0, now + expiry_seconds
            if len(self._numbers) >= _MANY:
                self._drop_expired(now)
        self._numbers[name] = (number + amount, expires)
        return number + amount

    async def get(self, name: str) -> int:
        """Return a counter's value, 0 if it does not exist."""
        number, expires = self._numbers.get(name, (0, 0.0))
        return number if expires > self._clock() else 0

    async def slide(self, window: int, amounts: Amounts) -> list[tuple[int, int]]:
        """Add to counters of a window; return each one's value in this and the previous window."""
        counted = []
        for name, amount in amounts:
            seen = self._windows.get(name)
            if seen is None or seen[0] < window:
                seen = self._begin(name, window, seen)
            if seen[0] == window:
                seen[1] += amount
                counted.append((seen[1], seen[2]))
            else:  # the window has passed
                if seen[0] == window + 1:
                    seen[2] += amount
                counted.append((seen[2], 0))
        return counted

    def _begin(self, name: str, window: int, last: list[int] | None) -> list[int]:
        before = last[1] if last is not None and last[0] == window - 1 else 0
        begun = self._windows[name] = [window, 0, before]
        if len(self._windows) >= _MANY:
            self._windows = {n: w for n, w in self._windows.items() if w[0] >= window - 1}
        return begun

    async def close(self) -> None:
        """Do nothing; there are no connections."""

    def _drop_expired(self, now: float) -> None:
        self._numbers = {name: entry for name, entry in self._numbers.items() if entry[1] > now}


class SharedCounters:
    """Counters in Redis, shared by all replicas.

    A server that does not answer within a quarter of a second counts as down.

    Args:
        url: URL of the server, such as ``redis://127.0.0.1:6379``.

    Raises:
        ConfigurationError: The URL or the Redis client is not usable.
    """

    def __init__(self, url: str) -> None:
        try:
            self._storage = RedisStorage(
                f"async+{url}",
                implementation="redispy",
                socket_timeout=_ANSWER_SECONDS,
                socket_connect_timeout=_ANSWER_SECONDS,
            )
        except (limits.errors.ConfigurationError, ValueError):
            # The errors quote the URL or a part of it, which may be the password.
            raise ConfigurationError(
                f"TIDEGAUGE_GATEWAY_REDIS_URL is {shown_address(url)!r}: expected "
                "redis://host:port or rediss://host:port, and tidegauge[redis] installed"
            ) from None

    async def add(self, name: str, amount: int, expiry_seconds: int) -> int:
        """Add to a counter and return its value; raises the Redis client's errors."""
        return int(await self._storage.incr(f"tidegauge:{name}", expiry_seconds, amount))

    async def get(self, name: str) -> int:
        """Return a counter's value, 0 if it does not exist; raises the Redis client's errors."""
        return int(await self._storage.get(f"tidegauge:{name}"))

    async def slide(self, window: int, amounts: Amounts) -> list[tuple[int, int]]:
        """Add to counters of a window; return each one's value in this and the previous window."""
        numbers = await asyncio.gather(
            *(self.add(f"{name}/{window}", amount, _WINDOW_SECONDS) for name, amount in amounts),
            *(self.get(f"{name}/{window - 1}") for name, _ in amounts),
        )
        return list(zip(numbers[: len(amounts)], numbers[len(amounts) :], strict=True))

    async def close(self) -> None:
        """Close the connections."""
        bridge: Any = self._storage.bridge
        await bridge.get_connection().aclose()
