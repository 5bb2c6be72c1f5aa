"""Whether an upstream takes connections: what readiness says beyond knowing a model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tidegauge.gateway.http.addresses import Address
from tidegauge.gateway.proxy.upstreams import Upstreams

__all__ = ["Reachability"]

_CONNECT_SECONDS: Final = 2.0
_KEPT_SECONDS: Final = 5.0


class Reachability:
    """Tries the upstreams' addresses, at most once in a few seconds however often it is asked.

    Args:
        upstreams: The upstreams in force.
        now: A clock, seconds.
    """

    def __init__(self, upstreams: Upstreams, now: Callable[[], float]) -> None:
        self._upstreams = upstreams
        self._now = now
        self._lock = asyncio.Lock()
        self._found = False
        self._tried = float("-inf")

    async def any(self) -> bool:
        """Return whether at least one upstream takes connections."""
        async with self._lock:
            if self._now() - self._tried >= _KEPT_SECONDS:
                self._found = await self._try()
                self._tried = self._now()
            return self._found

    async def _try(self) -> bool:
        addresses = {
            Address.parse(upstream.url)
            for model in self._upstreams.catalog.models.values()
            for upstream in model.upstreams
            if upstream.weight > 0
        }
        attempts = [asyncio.create_task(_connects(address)) for address in addresses]
        try:
            for attempt in asyncio.as_completed(attempts):
                if await attempt:
                    return True
        finally:
            for attempt in attempts:
                attempt.cancel()
        return False


async def _connects(address: Address) -> bool:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(address.host, address.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
