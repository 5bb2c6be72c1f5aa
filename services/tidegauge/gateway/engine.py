"""Answers requests: identifies the client, parses, routes and forwards the request.

Every exchange is concluded once, also after an error, and is recorded before the last byte of
its answer is sent. So the outbox has every exchange whose answer a client received in full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from tidegauge.gateway.apis import Api, ParsedAnswer, ParsedRequest, malformed, prompt_tokens
from tidegauge.gateway.completion import Completion
from tidegauge.gateway.errors import (
    ExchangeError,
    RefusedError,
    error_body,
)
from tidegauge.gateway.exchange_state import Exchange, Fault
from tidegauge.gateway.http.bodies import (
    refuse_ambiguous,
    refuse_complex,
    without_lone_surrogates,
)
from tidegauge.gateway.policy.keys import ANONYMOUS, Caller, Customer, KeyRing
from tidegauge.gateway.policy.limiter import Limiter
from tidegauge.gateway.proxy.forwarding import Forwarder, Outgoing
from tidegauge.gateway.proxy.mirroring import Mirror
from tidegauge.gateway.proxy.relay import Sink, error_frame
from tidegauge.gateway.proxy.upstreams import Route, Upstreams
from tidegauge.schemas.exchange import ErrorKind, Usage

__all__ = ["Engine", "Policy"]

_CLIENT_GONE: Final = 499
"""nginx's status for a client that disconnected before the answer began."""
_STOPPED: Final = 503
_OK: Final = 200
_LONG_BODY: Final = 1024 * 1024
"""Bytes of a body from which other requests have their turn between the steps of one."""

_log = structlog.get_logger("tidegauge.gateway")


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings that apply to every request.

    Attributes:
        anonymous: Whether requests without a key are served.
        assumed_output_tokens: Output tokens to reserve if a request sets no limit.
        max_answer_bytes: Longest answer that is not a stream.
        quiet_seconds: Pause of a stream after which the client gets a comment; None for never.
    """

    anonymous: bool = False
    assumed_output_tokens: int = 512
    max_answer_bytes: int = 64 * 1024 * 1024
    quiet_seconds: float | None = 15.0


class Engine:
    """Answers requests.

    Args:
        policy: Settings that apply to every request.
        upstreams: The upstreams.
        keys: Client keys in force; replace the attribute to change them.
        limiter: Applies the keys' limits.
        completion: Completes exchanges.
    """

    def __init__(
        self,
        policy: Policy,
        upstreams: Upstreams,
        keys: KeyRing,
        limiter: Limiter,
        completion: Completion,
    ) -> None:
        self.policy = policy
        self.upstreams = upstreams
        self.keys = keys
        self._limiter = limiter
        self._completion = completion
        self._forwarder = Forwarder(completion, policy.max_answer_bytes, policy.quiet_seconds)
        self._shadows = Mirror(self._forwarder, completion)

    async def serve(
        self,
        exchange: Exchange,
        api: Api,
        read_body: Callable[[], Awaitable[bytes]],
        sink: Sink,
    ) -> None:
        """Answer one request; errors become error answers.

        Args:
            exchange: The exchange, just begun; its customer is identified, or ``read_body``
                refuses the request.
            api: The API of the request.
            read_body: Reads the request's body; may raise ``RefusedError``.
            sink: Sends the answer to the client.
        """
        self._completion.begin(exchange)
        try:
            await self._forward(exchange, api, await read_body(), sink)
        except ExchangeError as error:
            await self._refuse(exchange, api, error, sink)
        except asyncio.CancelledError:
            self._abandon(exchange)
            raise
        except Exception:  # noqa: BLE001 - an event for every request, whatever failed
            _log.exception("request failed", request_id=exchange.arrival.request_id)
            failure = ExchangeError("the gateway failed; its log has the request's id")
            await self._refuse(exchange, api, failure, sink)
        finally:
            self._completion.end()
            if exchange.reservation is not None:
                await self._settle(exchange)

    async def close(self) -> None:
        """Cancel the mirrored requests in flight."""
        await self._shadows.close()

    def identify(self, caller: Caller) -> Customer:
        """Return the customer of a request's key.

        Raises:
            RefusedError: The key is missing or wrong.
        """
        if caller.authorization is not None:
            customer = caller.identify(self.keys)
            if customer is not None:
                return customer
        if self.policy.anonymous and (caller.authorization is None or not len(self.keys)):
            return ANONYMOUS
        raise RefusedError(
            ErrorKind.UNAUTHORIZED,
            "no valid API key: send it as `Authorization: Bearer tg-…`",
            code="invalid_api_key",
            headers=[(b"www-authenticate", b"Bearer")],
        )

    async def _forward(self, exchange: Exchange, api: Api, body: bytes, sink: Sink) -> None:
        is_long = len(body) > _LONG_BODY
        refuse_complex(body)
        if is_long:
            await asyncio.sleep(0)
        refuse_ambiguous(body)
        if is_long:
            await asyncio.sleep(0)
        try:
            asked = api.read(body)
        except RecursionError as error:
            raise malformed(error) from error
        except RefusedError as refusal:
            asked = await _read_again(api, body, refusal)
        if is_long:
            await asyncio.sleep(0)
        exchange.asked = asked
        route = self._route(asked.model, exchange.customer)
        targets = route.order(exchange.arrival.session)
        exchange.attempt = targets[0].attempt(asked.sampling)
        if exchange.customer.limited:
            need, price = self._need(asked), exchange.attempt.target.upstream.price
            paid = 1 if asked.stream else route.answers_paid
            exchange.reservation = await self._limiter.reserve(
                exchange.customer,
                paid * (need.input_tokens + need.output_tokens),
                None if price is None else paid * price.of(need),
            )
        self._completion.admit(exchange, body)
        if is_long:
            await asyncio.sleep(0)
        outgoing = Outgoing(
            api, asked, asked.body or body, route.failed_checks, route.retried_statuses
        )
        if route.shadows:
            self._shadows.copy(exchange, outgoing, route)
        await self._forwarder.forward(exchange, outgoing, targets, sink)

    def _route(self, model: str, customer: Customer) -> Route:
        routes = self.upstreams.routes
        if not model and len(routes) == 1:
            (model,) = routes
        route = routes.get(model)
        if route is None or not customer.may_use(model):
            raise RefusedError(
                ErrorKind.UNKNOWN_MODEL,
                "no such model, or the key may not use it",
                message=f"The model {model[:200]!r} does not exist or your key may not use it."
                if model
                else "The request names no model, and there are several: set `model`.",
                code="model_not_found",
                param="model",
            )
        return route

    def _need(self, asked: ParsedRequest) -> Usage:
        """Return the most tokens that a request is expected to use."""
        limit = asked.sampling.max_tokens
        output = self.policy.assumed_output_tokens if limit is None else max(0, limit)
        return Usage(
            input_tokens=prompt_tokens(asked.messages), output_tokens=output * asked.choices
        )

    async def _refuse(self, exchange: Exchange, api: Api, error: ExchangeError, sink: Sink) -> None:
        """Conclude an exchange with an error, and send that to the client if it has no other end.

        A client that has comments or a part of a stream gets the error as the last event.
        """
        fault = Fault(error.kind, error.detail)
        if exchange.begun:
            if exchange.conclusion is None:
                self._completion.conclude(exchange, _OK, _answer_so_far(exchange), fault)
                await sink.end(error_frame(api, error))
            return
        unauthorized = error.kind is ErrorKind.UNAUTHORIZED
        if not (unauthorized and self._completion.refused()):
            self._completion.conclude(exchange, error.status, ParsedAnswer(), fault)
        exchange.begun = True
        await sink.whole(
            error.status,
            [
                (b"content-type", b"application/json"),
                (b"x-request-id", exchange.arrival.request_id.encode()),
                *error.headers,
            ],
            error_body(error),
        )

    def _abandon(self, exchange: Exchange) -> None:
        """Conclude an exchange cancelled by its client or by shutdown, with the answer so far."""
        answer = _answer_so_far(exchange)
        if exchange.client_left:
            kind, status = ErrorKind.CLIENT_DISCONNECTED, _CLIENT_GONE
            detail = "the client left before the answer was complete"
        else:
            kind, status = ErrorKind.GATEWAY_ERROR, _STOPPED
            detail = "the gateway was stopped before the answer was complete"
        status = _OK if exchange.begun else status
        self._completion.conclude(exchange, status, answer, Fault(kind, detail))

    async def _settle(self, exchange: Exchange) -> None:
        if exchange.reservation is not None and exchange.conclusion is not None:
            usage = exchange.conclusion.usage
            tokens = 0 if usage is None else usage.input_tokens + usage.output_tokens
            await self._limiter.settle(exchange.reservation, tokens, exchange.conclusion.cost_usd)


def _answer_so_far(exchange: Exchange) -> ParsedAnswer:
    collector = exchange.collector
    return ParsedAnswer() if collector is None else collector.answer()


async def _read_again(api: Api, body: bytes, refusal: RefusedError) -> ParsedRequest:
    """Parse a request whose halves of characters are replaced to read it, not to forward it.

    Raises:
        RefusedError: That is not what it was refused for.
    """
    await asyncio.sleep(0)
    readable = without_lone_surrogates(body)
    if readable == body:
        raise refusal
    await asyncio.sleep(0)
    return api.read(readable)
