"""How soon the gateway's clients get a first token, by the gateway's own metrics."""

from __future__ import annotations

import re
from typing import Final

import aiohttp

from tidegauge.adapters.connection_pool import ConnectionPool

__all__ = ["GatewayLatency"]

_NAME: Final = "tidegauge_gateway_time_to_first_token_seconds"
_SUMS: Final = re.compile(rf"^{_NAME}_sum(?:\{{[^}}]*\}})? ([0-9.eE+-]+)$", re.MULTILINE)
_COUNTS: Final = re.compile(rf"^{_NAME}_count(?:\{{[^}}]*\}})? ([0-9.eE+-]+)$", re.MULTILINE)
_TIMEOUT: Final = aiohttp.ClientTimeout(total=2.0)
_OK: Final = 200


class GatewayLatency(ConnectionPool):
    """Reads the mean time to first token of the requests since the last look.

    Args:
        url: Address of the gateway's metrics, such as ``http://127.0.0.1:8081/metrics``.
    """

    def __init__(self, url: str) -> None:
        super().__init__(_TIMEOUT)
        self._url = url
        self._before: tuple[float, float] | None = None

    async def mean_seconds(self) -> float | None:
        """Return the mean; None if there were no requests, or the gateway does not tell."""
        if self._session is None:
            return None
        try:
            async with self._session.get(self._url) as response:
                text = await response.text(errors="replace") if response.status == _OK else ""
        except (aiohttp.ClientError, TimeoutError):
            return None
        now = sum(map(float, _SUMS.findall(text))), sum(map(float, _COUNTS.findall(text)))
        before, self._before = self._before, now
        if before is None or now[1] <= before[1]:
            return None
        return (now[0] - before[0]) / (now[1] - before[1])
