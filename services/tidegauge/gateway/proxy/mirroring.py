"""Mirrors requests to candidates: copies are answered like any request, then discarded."""

from __future__ import annotations

import asyncio
import random
from typing import Final

import msgspec
import structlog

from tidegauge.gateway.apis import ParsedAnswer
from tidegauge.gateway.completion import Completion
from tidegauge.gateway.errors import ExchangeError
from tidegauge.gateway.exchange_state import Exchange, Fault
from tidegauge.gateway.proxy.forwarding import Forwarder, Outgoing
from tidegauge.gateway.proxy.relay import Headers, Sink
from tidegauge.gateway.proxy.upstreams import Route, Target
from tidegauge.schemas.exchange import ErrorKind

__all__ = ["Mirror"]

_MOST_AT_ONCE: Final = 64

_log = structlog.get_logger("tidegauge.gateway")


class Mirror:
    """Mirrors requests, at most 64 at a time, so that a slow candidate cannot fill the memory.

    Args:
        forwarder: Forwards the copies to the candidates.
        completion: Records the copies' exchanges.
    """

    def __init__(self, forwarder: Forwarder, completion: Completion) -> None:
        self._forwarder = forwarder
        self._completion = completion
        self._tasks: set[asyncio.Task[None]] = set()

    def copy(self, exchange: Exchange, outgoing: Outgoing, route: Route) -> None:
        """Send copies of a request to the route's candidates, each by its share."""
        for target in route.shadows:
            if len(self._tasks) >= _MOST_AT_ONCE:
                return
            if random.random() < target.upstream.shadow:  # noqa: S311 - a sample
                copy = exchange.shadowed()
                copy.attempt = target.attempt(outgoing.asked.sampling)
                task = asyncio.create_task(self._answer(copy, outgoing, target))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel the copies in flight."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _answer(self, copy: Exchange, outgoing: Outgoing, target: Target) -> None:
        self._completion.admit(copy)
        try:
            unchecked = msgspec.structs.replace(outgoing, failed_checks={})
            await self._forwarder.forward(copy, unchecked, (target,), _DiscardingSink())
        except ExchangeError as error:
            self._fail(copy, error.status, Fault(error.kind, error.detail))
        except asyncio.CancelledError:
            self._fail(copy, 503, Fault(ErrorKind.GATEWAY_ERROR, "the gateway was stopped"))
            raise
        except Exception:  # noqa: BLE001 - a copy may never harm the service
            _log.exception("shadow copy failed", request_id=copy.arrival.request_id)
            self._fail(copy, 500, Fault(ErrorKind.GATEWAY_ERROR, "the gateway failed"))

    def _fail(self, copy: Exchange, status: int, fault: Fault) -> None:
        self._completion.conclude(copy, status, ParsedAnswer(), fault)


class _DiscardingSink(Sink):
    """Discards an answer."""

    async def begin(self, status: int, headers: Headers) -> None:
        """Discard the head."""

    async def send(self, data: bytes) -> None:
        """Discard a part."""

    async def end(self, data: bytes = b"") -> None:
        """Discard the rest."""
