"""The upstreams in force: connections, and choice of a target."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from tidegauge.gateway.configuration import RETRIED_STATUSES, Catalog, Upstream
from tidegauge.gateway.errors import UpstreamAnswerError
from tidegauge.gateway.http.addresses import Address, Timeouts
from tidegauge.gateway.http.client import Connection, Quiet
from tidegauge.gateway.http.pool import Pool
from tidegauge.schemas.exchange import Sampling
from tidegauge.schemas.hashing import unit_hash

__all__ = ["Attempt", "Route", "Target", "Upstreams"]

_MODEL_LIST_LIMIT: Final = 4 * 1024 * 1024


class Target:
    """One upstream of one model, with its connections.

    Attributes:
        name: The model's name for clients.
        upstream: The upstream's configuration.
        replace: Body fields to replace, as JSON text.
        in_flight: Requests that the target is answering.
        asks_for_usage: Whether to ask it for the usage of streams.
        label: The target's name in events: its address.
    """

    def __init__(self, name: str, upstream: Upstream, pool: Pool) -> None:
        self.name = name
        self.upstream = upstream
        self.in_flight = 0
        self.label = pool.address.authority
        self.asks_for_usage = upstream.stream_usage
        self._pool = pool
        self._timeouts = _timeouts(pool.timeouts, upstream)
        self._heads: dict[str, bytes] = {}
        self.replace: dict[str, msgspec.Raw] = dict(upstream.overrides)
        if upstream.model is not None and upstream.model != name:
            self.replace["model"] = msgspec.Raw(msgspec.json.encode(upstream.model))

    def attempt(self, asked: Sampling, before: Attempt | None = None) -> Attempt:
        """Return an attempt at a request, not yet started.

        Args:
            asked: Sampling parameters of the request; the overrides replace them.
            before: The previous attempt; None for the first.
        """
        sampling = self._sampling(asked)
        if before is None:
            return Attempt(self, sampling)
        again_at = time.perf_counter()
        return Attempt(self, sampling, before.number + 1, before.started, again_at)

    def _sampling(self, asked: Sampling) -> Sampling:
        if not self.upstream.overrides:
            return asked
        known = {
            "max_tokens" if name == "max_completion_tokens" else name: msgspec.json.decode(value)
            for name, value in self.upstream.overrides.items()
            if name in _SAMPLING or name == "max_completion_tokens"
        }
        return msgspec.structs.replace(asked, **known)

    def ask(
        self,
        path: str,
        content_type: bytes,
        body: bytes,
        extra: bytes,
        quiet: Quiet | None = None,
    ) -> Awaitable[Connection]:
        """Return an awaitable that sends a request and waits for the head of the answer.

        Args:
            path: Path below the base URL.
            content_type: The body's type.
            body: The body.
            extra: Further header lines, each with its line end.
            quiet: What to do while the upstream is silent; None for nothing.

        Raises:
            UpstreamError: The upstream does not answer.
        """
        head = self._heads.get(path) or self._head(path)
        framing = b"content-type: %b\r\ncontent-length: %d\r\n" % (content_type, len(body))
        head = b"%b%b%b\r\n" % (head, framing, extra)
        return self._pool.request(head, body, self._timeouts, quiet)

    def _head(self, path: str) -> bytes:
        head = self._heads[path] = _head(
            "POST", self._pool.address, path, self.upstream.api_key_env
        )
        return head


class Attempt(msgspec.Struct, eq=False):
    """One attempt at a request by one target.

    Attributes:
        target: The target.
        sampling: Sampling parameters sent to the target.
        number: Number of the attempt, from 1.
        started: Whether a request was sent, by this attempt or an earlier one.
        again_at: When it was made, in seconds on the clock of ``Arrival.started``; 0 for the first.
    """

    target: Target
    sampling: Sampling
    number: int = 1
    started: bool = False
    again_at: float = 0.0
    _working: bool = False

    def start(self) -> None:
        """Count the request as in flight on the target."""
        self.started = self._working = True
        self.target.in_flight += 1

    def stop(self) -> None:
        """Count the request as no longer in flight; a second call does nothing."""
        if self._working:
            self._working = False
            self.target.in_flight -= 1


def _timeouts(usual: Timeouts, upstream: Upstream) -> Timeouts:
    first_byte, idle = upstream.first_byte_seconds, upstream.idle_seconds
    if first_byte is None and idle is None:
        return usual
    return replace(usual, first_byte=first_byte or usual.first_byte, idle=idle or usual.idle)


_SAMPLING: Final = frozenset({"temperature", "top_p", "max_tokens", "seed", "n"})


def _head(method: str, address: Address, path: str, api_key_env: str | None) -> bytes:
    lines = [
        f"{method} {address.prefix}{path} HTTP/1.1",
        f"host: {address.authority}",
        "user-agent: tidegauge",
    ]
    if api_key_env and os.environ.get(api_key_env):
        lines.append(f"authorization: Bearer {os.environ[api_key_env]}")
    return "\r\n".join([*lines, ""]).encode("latin-1")


class Route:
    """A model's targets, from which one is drawn by weight for each request.

    Attributes:
        shadows: Targets that get mirrored requests.
        failed_checks: See ``configuration.Model``.
        retried_statuses: See ``configuration.Model``.
        answers_paid: The most answers that a request which is not streamed may cost.

    Args:
        targets: All of the model's targets; those of weight 0 are never drawn.
        failed_checks: See ``configuration.Model``.
        retried_statuses: See ``configuration.Model``.
    """

    def __init__(
        self,
        targets: tuple[Target, ...],
        failed_checks: Mapping[str, Literal["retry", "error"]] = MappingProxyType({}),
        retried_statuses: frozenset[int] = RETRIED_STATUSES,
    ) -> None:
        self.shadows = tuple(target for target in targets if target.upstream.shadow > 0)
        self.failed_checks = failed_checks
        self.retried_statuses = retried_statuses
        self.answers_paid = 2 if "retry" in failed_checks.values() else 1
        self._drawn = tuple(target for target in targets if target.upstream.weight > 0)
        self._total = sum(target.upstream.weight for target in self._drawn)

    def order(self, session: str | None) -> tuple[Target, ...]:
        """Return the targets to try, the drawn one first.

        A session always gets the same target while the weights stay the same: its hash replaces
        the random number.
        """
        if len(self._drawn) == 1:
            return self._drawn
        point = unit_hash(session) if session else random.random()  # noqa: S311 - load sharing
        left = point * self._total
        for index, target in enumerate(self._drawn):
            left -= target.upstream.weight
            if left < 0:
                return (target, *self._drawn[:index], *self._drawn[index + 1 :])
        return self._drawn


class Upstreams:
    """All targets by model; ``reload`` replaces them in one step.

    An address that stays in the catalog keeps its connections. Requests in flight
    to a removed address are completed.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._pools: dict[Address, Pool] = {}
        self._retired: list[Pool] = []
        self.catalog = Catalog({})
        self.routes: Mapping[str, Route] = {}
        self.targets: tuple[Target, ...] = ()

    def reload(self, catalog: Catalog) -> None:
        """Put a catalog in force."""
        wanted = {
            Address.parse(upstream.url)
            for model in catalog.models.values()
            for upstream in model.upstreams
        }
        routes, targets = {}, []
        for name, model in catalog.models.items():
            ready = [
                Target(name, upstream, self._pool(Address.parse(upstream.url)))
                for upstream in model.upstreams
            ]
            checks = {str(check): todo for check, todo in model.failed_checks.items()}
            routes[name] = Route(tuple(ready), checks, frozenset(model.retried_statuses))
            targets.extend(ready)
        for address in self._pools.keys() - wanted:
            pool = self._pools.pop(address)
            pool.retire()
            self._retired.append(pool)
        for pool in [pool for pool in self._retired if not pool.open_connections]:
            pool.close()
            self._retired.remove(pool)
        self.catalog, self.routes, self.targets = catalog, routes, tuple(targets)

    async def discover(self, url: str, api_key_env: str | None) -> list[str]:
        """Return the names of the models that an upstream serves.

        Raises:
            UpstreamError: The upstream does not list its models.
        """
        pool = self._pool(Address.parse(url))
        head = _head("GET", pool.address, "/v1/models", api_key_env) + b"\r\n"
        connection = await pool.request(head, b"")
        try:
            body = await connection.read(_MODEL_LIST_LIMIT)
            listed = msgspec.json.decode(body, type=_ModelList)
        except msgspec.DecodeError as error:
            raise UpstreamAnswerError(
                f"{pool.address.authority}/v1/models is no list of models "
                f"(status {connection.status})"
            ) from error
        finally:
            connection.close()
        return [model.id for model in listed.data]

    def close(self) -> None:
        """Abort every connection."""
        for pool in [*self._retired, *self._pools.values()]:
            pool.close()

    def _pool(self, address: Address) -> Pool:
        if address not in self._pools:
            self._pools[address] = Pool(address, self._timeouts)
        return self._pools[address]


class _ModelEntry(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_ModelEntry]
