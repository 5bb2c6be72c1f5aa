"""A pool of HTTP connections that is open while it is entered."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import aiohttp

__all__ = ["ConnectionPool"]


class ConnectionPool:
    """A client's connections: opened in the event loop that enters it, and closed at its end.

    Args:
        timeout: Limits of a request.
        headers: Sent with each request.
        connections: Most connections at a time.
    """

    def __init__(
        self,
        timeout: aiohttp.ClientTimeout,
        *,
        headers: dict[str, str] | None = None,
        connections: int = 1,
    ) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._timeout = timeout
        self._headers = headers
        self._connections = connections

    async def __aenter__(self) -> Self:
        """Open the pool."""
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=self._timeout,
            connector=aiohttp.TCPConnector(limit=self._connections),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        if self._session is not None:
            await self._session.close()
            self._session = None
