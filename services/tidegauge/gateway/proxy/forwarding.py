"""Sends a request upstream and passes the answer on: which upstream, how often, what back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from tidegauge.gateway.apis import Api, ParsedRequest
from tidegauge.gateway.completion import Completion
from tidegauge.gateway.errors import (
    UpstreamAnswerError,
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamUnreachableError,
)
from tidegauge.gateway.exchange import Exchange
from tidegauge.gateway.http.client import Connection
from tidegauge.gateway.proxy.outgoing import rewrite
from tidegauge.gateway.proxy.relay import Relay, Sink, Whole
from tidegauge.gateway.proxy.upstreams import Target

__all__ = ["FailedCheckError", "Forwarder", "Outgoing"]

_ERRORS: Final = 400
_ANOTHER_MAY_ANSWER: Final = frozenset({502, 503, 504})
_MOST_ATTEMPTS: Final = 2


class FailedCheckError(UpstreamAnswerError):
    """The answer failed a check that the model's configuration turns into an error."""

    code = "output_check_failed"

    def __init__(self, check_name: str) -> None:
        """Name the check."""
        super().__init__(f"the model's answer failed the check {check_name!r}")


class Outgoing(msgspec.Struct, frozen=True):
    """A request on its way upstream.

    Attributes:
        dialect: The API that it speaks.
        asked: What it says.
        body: Its body.
        failed_checks: Check -> what to do when an answer in one piece fails it.
    """

    dialect: Api
    asked: ParsedRequest
    body: bytes
    failed_checks: Mapping[str, Literal["retry", "error"]]


class Forwarder:
    """Forwards requests.

    Args:
        books: Where exchanges are recorded.
        longest_answer: Most bytes of an answer that is not a stream.
    """

    def __init__(self, books: Completion, longest_answer: int) -> None:
        self._books = books
        self._longest_answer = longest_answer

    async def forward(
        self, exchange: Exchange, outgoing: Outgoing, targets: tuple[Target, ...], sink: Sink
    ) -> None:
        """Forward a request and pass the answer on.

        Args:
            exchange: The request's record.
            outgoing: The request.
            targets: Whom to ask, the chosen one first.
            sink: Where the answer goes.

        Raises:
            UpstreamError: There is no answer that can be passed on.
        """
        relay = Relay(exchange, outgoing.dialect, sink, self._books)
        connection, first = await self._ask(exchange, outgoing, targets)
        try:
            if first is not None:
                await relay.stream(connection, first)
                return
            whole = relay.read(connection, await connection.read(self._longest_answer))
        finally:
            connection.close()
        if outgoing.failed_checks:
            failed = await self._failed_checks(exchange, whole)
            todo = {outgoing.failed_checks.get(name) for name in failed}
            if "retry" in todo and exchange.attempts < _MOST_ATTEMPTS:
                whole = await self._once_more(exchange, outgoing, targets, relay, whole)
                failed = await self._failed_checks(exchange, whole)
            for name in failed:
                if outgoing.failed_checks.get(name) == "error":
                    raise FailedCheckError(name)
        await relay.whole(whole)

    async def _failed_checks(self, exchange: Exchange, whole: Whole) -> list[str]:
        """Check an answer at once, since what becomes of it depends on that."""
        exchange.checks = {}
        if whole.status < _ERRORS:
            await self._books.check(exchange, whole.answer)
        return [name for name, finding in exchange.checks.items() if finding == "failed"]

    async def _once_more(
        self,
        exchange: Exchange,
        outgoing: Outgoing,
        targets: tuple[Target, ...],
        relay: Relay,
        discarded: Whole,
    ) -> Whole:
        """Ask another upstream, or the same one where there is no other; pay for both."""
        exchange.discard(discarded.answer.usage)
        another = (*targets[1:], *targets[:1])[:1]
        connection, first = await self._ask(exchange, outgoing, another, begun_at=_MOST_ATTEMPTS)
        try:
            if first is not None:
                raise UpstreamAnswerError("the upstream streams an answer that is to be whole")
            return relay.read(connection, await connection.read(self._longest_answer))
        finally:
            connection.close()

    async def _ask(
        self,
        exchange: Exchange,
        outgoing: Outgoing,
        targets: tuple[Target, ...],
        *,
        begun_at: int = 1,
    ) -> tuple[Connection, bytes | None]:
        """Return the answering connection and, of a stream, its first piece.

        Until the first byte one other upstream may take the place of one that fails.
        """
        dialect, asked = outgoing.dialect, outgoing.asked
        ask_for_usage = asked.stream and dialect.asks_for_usage and not asked.usage_wanted
        extra = b"x-request-id: %b\r\n" % exchange.request_id.encode()
        if exchange.traceparent is not None:
            extra += b"traceparent: %b\r\n" % exchange.traceparent.encode()
        tried = targets[:_MOST_ATTEMPTS]
        for attempt, target in enumerate(tried, begun_at):
            exchange.take(target, attempt)
            body = rewrite(outgoing.body, target.replace, ask_for_usage=ask_for_usage)
            try:
                connection = await target.ask(dialect.path, body, extra)
                if connection.status < _ERRORS and not connection.is_stream:
                    return connection, None
                return connection, await _first_piece(connection, last=target is tried[-1])
            except UpstreamError as error:
                exchange.release()
                if target is tried[-1] or isinstance(error, UpstreamAnswerError):
                    raise
        raise UpstreamUnreachableError("no upstream is left to ask")


async def _first_piece(connection: Connection, *, last: bool) -> bytes | None:
    """Return a stream's first piece, None for an error that is to be passed on.

    Raises:
        UpstreamError: Another upstream may do better, or there is no first piece.
    """
    if connection.status in _ANOTHER_MAY_ANSWER and not last:
        connection.close()
        raise UpstreamInterruptedError(f"the upstream answered {connection.status}")
    if connection.status >= _ERRORS:
        return None
    try:
        return await connection.piece()
    except BaseException:
        connection.close()
        raise
