"""Limits on client connections: how many an address may have, and how long a request may take.

A connection waits until a request has arrived in full. Connections that wait for a head cost a
client nothing, so an address may have only few of them for longer than a second; beyond that the
oldest ones are closed, since an honest client sends its head at once. Connections whose request
has been admitted are limited by their number alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address, IPv6Network
from typing import Final

from tidegauge.gateway.refusals import Reason, Refusals

__all__ = ["ConnectionLimits", "ConnectionTable", "OpenConnection"]

_SWEEP_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 1.0
_FOREVER: Final = float("inf")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits on the clients' connections.

    Attributes:
        total: Most connections in all.
        per_address: Most connections of one address.
        waiting_per_address: Most connections of one address that wait for a request's head for
            longer than a second.
        head_seconds: Time for a request's head to arrive.
        request_seconds: Time for the rest of the request to arrive.
    """

    total: int = 16_384
    per_address: int = 4096
    waiting_per_address: int = 128
    head_seconds: float = 10.0
    request_seconds: float = 300.0


class _Stage(IntEnum):
    """What a connection waits for."""

    NOTHING = 0
    HEAD = 1
    BODY = 2


class OpenConnection:
    """A connection in the table.

    Attributes:
        waiting: Whether the connection waits for a request or the rest of one.

    Args:
        table: The table.
        address: The client's address.
        abort: Closes the connection at once.
    """

    __slots__ = ("_stage", "_table", "abort", "address", "deadline", "waiting")

    def __init__(self, table: ConnectionTable, address: str, abort: Callable[[], None]) -> None:
        self._table = table
        self._stage = _Stage.NOTHING
        self.address = address
        self.abort = abort
        self.deadline = _FOREVER
        self.waiting = False

    def wait_for_head(self) -> None:
        """Wait for a request's head; a second call does not move the deadline."""
        if self._stage is not _Stage.HEAD:
            self._enter(_Stage.HEAD)

    def wait_for_body(self) -> None:
        """Wait for an admitted request's body; a second call does not move the deadline."""
        if self._stage is not _Stage.BODY:
            self._enter(_Stage.BODY)

    def settle(self) -> None:
        """Wait no longer: the request has arrived."""
        if self.waiting:
            self._enter(_Stage.NOTHING)

    def refuse_data(self) -> None:
        """Count what the client sends as no HTTP."""
        self._table.refusals.add("invalid_http", address=self.address)

    def close(self) -> None:
        """Remove the connection from the table."""
        self.settle()
        self._table.remove(self)

    def _enter(self, stage: _Stage) -> None:
        self._stage = stage
        self.waiting = stage is not _Stage.NOTHING
        limits = self._table.limits
        seconds = {
            _Stage.NOTHING: _FOREVER,
            _Stage.HEAD: limits.head_seconds,
            _Stage.BODY: limits.request_seconds,
        }[stage]
        self.deadline = self._table.now() + seconds
        self._table.moved(self, in_head=stage is _Stage.HEAD)


def _origin(address: str) -> str:
    """Return what counts as one address: of IPv6 the network, in which a client chooses freely.

    Example:
        >>> _origin("192.0.2.7"), _origin("2001:db8::1:2"), _origin("::ffff:192.0.2.7")
        ('192.0.2.7', '2001:db8::/64', '192.0.2.7')
    """
    if ":" not in address:
        return address
    parsed = IPv6Address(address)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), 64), strict=False))


class ConnectionTable:
    """All connections of clients; create it in a running event loop.

    Attributes:
        limits: The limits.
        refusals: Counts what is refused.

    Args:
        limits: The limits.
        refusals: Counts what is refused.
    """

    def __init__(self, limits: ConnectionLimits, refusals: Refusals) -> None:
        self.limits = limits
        self.refusals = refusals
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._total = 0
        self._by_address: dict[str, int] = {}
        self._in_head: dict[str, dict[OpenConnection, None]] = {}
        self._waiting: dict[OpenConnection, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def open(
        self, transport: asyncio.BaseTransport, abort: Callable[[], None]
    ) -> OpenConnection | None:
        """Add a new connection, which waits for a head; return None if it is one too many."""
        peer = transport.get_extra_info("peername")
        address = _origin(peer[0]) if isinstance(peer, tuple) else ""
        own = self._by_address.get(address, 0)
        if self._total >= self.limits.total or own >= self.limits.per_address:
            self.refusals.add("connections", address=address)
            return None
        self._total += 1
        self._by_address[address] = own + 1
        connection = OpenConnection(self, address, abort)
        connection.wait_for_head()
        return connection

    def remove(self, connection: OpenConnection) -> None:
        """Remove a closed connection."""
        address = connection.address
        left = self._by_address[address] - 1
        self._total -= 1
        if left:
            self._by_address[address] = left
        else:
            del self._by_address[address]

    def moved(self, connection: OpenConnection, *, in_head: bool) -> None:
        """Update the lists of waiting connections."""
        self._waiting.pop(connection, None)
        heads = self._in_head.setdefault(connection.address, {})
        heads.pop(connection, None)
        if connection.waiting:
            self._waiting[connection] = None
            if self._timer is None:
                self._timer = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        if in_head:
            heads[connection] = None
        elif not heads:
            del self._in_head[connection.address]

    def _end(self, connection: OpenConnection, reason: Reason) -> None:
        self.refusals.add(reason, address=connection.address)
        connection.settle()
        connection.abort()

    def _sweep(self) -> None:
        now = self.now()
        for connection in [late for late in self._waiting if late.deadline < now]:
            self._end(connection, "deadline")
        patient_since = now + self.limits.head_seconds - _PATIENCE_SECONDS
        for heads in list(self._in_head.values()):
            surplus = max(0, len(heads) - self.limits.waiting_per_address)
            for connection in list(heads)[:surplus]:
                if connection.deadline < patient_since:
                    self._end(connection, "waiting")
        self._timer = None
        if self._waiting:
            self._timer = self._loop.call_later(_SWEEP_SECONDS, self._sweep)
