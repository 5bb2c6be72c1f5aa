"""Records how exchanges end: event, ledger, log line and metrics, once each.

Exchanges that end in one pass of the event loop are entered together in the next one, and
their answers' last bytes leave after that: an answer that a client has is one that the ledger
knows. Together they need one write to the disk, and what is done for many in a row costs less
than what is done for each between other things.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from tidegauge.gateway.apis import ParsedAnswer, ParsedRequest
from tidegauge.gateway.checking import Checker
from tidegauge.gateway.estimates import prompt_tokens, text_tokens
from tidegauge.gateway.exchange import Exchange, Fault, Outcome
from tidegauge.gateway.metrics import Metrics
from tidegauge.gateway.proxy.upstreams import Target
from tidegauge.gateway.recording import Recording
from tidegauge.gateway.request_log import LogLine, rfc3339
from tidegauge.gateway.tracing import NO_TRACING, Tracing
from tidegauge.schemas.exchange import Usage

__all__ = ["Completion", "Log"]

_MOST_AT_ONCE: Final = 64

_log = structlog.get_logger("tidegauge.gateway")


class Log(Protocol):
    """Where lines of the request log go."""

    def write(self, line: LogLine) -> None:
        """Log a request."""


class Completion:
    """Keeps the books.

    Args:
        recording: Where events are made of.
        log: The request log.
        metrics: What is counted.
        tracing: Who follows exchanges from begin to end.
    """

    def __init__(
        self,
        recording: Recording,
        log: Log,
        metrics: Metrics,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._recording = recording
        self._log = log
        self.metrics = metrics
        self._tracing = tracing
        self._checker = Checker()
        self._ended: list[tuple[Exchange, Outcome]] = []
        self._leaving: list[Callable[[], None]] = []

    def begin(self, exchange: Exchange) -> None:
        """An exchange has begun."""
        self.metrics.in_flight += 1
        self._tracing.begin(exchange)

    def end(self) -> None:
        """An exchange has ended, and all that belongs to it."""
        self.metrics.in_flight -= 1

    def arrived(self, exchange: Exchange) -> None:
        """Record a request that is about to be forwarded."""
        self._recording.arrived(exchange)

    async def check(self, exchange: Exchange, answer: ParsedAnswer) -> None:
        """Check an answer now, since what becomes of it depends on that."""
        asked = exchange.asked
        if asked is not None:
            exchange.checks = await self._checker.check(asked.messages, asked.expectations, answer)

    async def check_unless_shipped(self, exchange: Exchange, answer: ParsedAnswer) -> None:
        """Check an answer now if the shipper will not have all of its text."""
        if self._recording.needs_findings(exchange, answer):
            await self.check(exchange, answer)

    def close(self) -> None:
        """Enter what has ended, and check no more."""
        self.enter()
        self._checker.close()

    def conclude(
        self,
        exchange: Exchange,
        status: int,
        answer: ParsedAnswer,
        fault: Fault | None = None,
    ) -> None:
        """An exchange has ended: it will be in the books in the loop's next pass.

        Until then its answer's last bytes have to wait; see ``once_entered``. Of two ends the
        first one counts.

        Args:
            exchange: Which.
            status: HTTP status that the client sees.
            answer: What there is of an answer.
            fault: How it failed.
        """
        if exchange.outcome is not None:
            return
        exchange.release()
        asked, target = exchange.asked, exchange.target
        usage = cost_usd = None
        if asked is not None and target is not None:
            usage = _usage(exchange, asked, answer, complete=fault is None)
            cost_usd = _cost(target, usage, exchange.server_seconds)
        outcome = exchange.outcome = Outcome(
            status=status,
            error=None if fault is None else fault.kind,
            detail=None if fault is None else fault.detail,
            answer=answer,
            usage=usage,
            cost_usd=cost_usd,
            latency_seconds=time.perf_counter() - exchange.started,
        )
        self._ended.append((exchange, outcome))
        if len(self._ended) == 1:
            asyncio.get_running_loop().call_soon(self.enter)
        elif len(self._ended) == _MOST_AT_ONCE:
            self.enter()

    def once_entered(self, leave: Callable[[], None]) -> None:
        """Call a function once every exchange that has ended is in the books."""
        if self._ended:
            self._leaving.append(leave)
        else:
            leave()

    def enter(self) -> None:
        """Enter what has ended, and let the answers leave, whatever fails here."""
        ended, self._ended = self._ended, []
        leaving, self._leaving = self._leaving, []
        if ended:
            self._recording.ended(ended)
            for exchange, outcome in ended:
                try:
                    if not exchange.shadow:
                        self._tell(exchange, outcome)
                        self._tracing.end(exchange, outcome)
                except Exception:  # noqa: BLE001 - see above
                    _log.exception("request not logged", request_id=exchange.request_id)
        for leave in leaving:
            leave()

    def _tell(self, exchange: Exchange, outcome: Outcome) -> None:
        usage, first = outcome.usage, exchange.pace.first
        version, customer = exchange.version, exchange.customer.name
        error = None if outcome.error is None else outcome.error.value
        first_token = None if first is None else first - exchange.started
        first_token_ms = None if first_token is None else _milliseconds(first_token)
        self._log.write(
            LogLine(
                time=rfc3339(exchange.arrived_ms),
                request_id=exchange.request_id,
                route=exchange.route,
                model=exchange.model,
                version=version,
                customer=customer,
                status=outcome.status,
                error=error,
                stream=exchange.asked is not None and exchange.asked.stream,
                latency_ms=_milliseconds(outcome.latency_seconds),
                time_to_first_token_ms=first_token_ms,
                prompt_characters=exchange.prompt_characters,
                response_characters=len(outcome.answer.text or ""),
                input_tokens=None if usage is None else usage.input_tokens,
                output_tokens=None if usage is None else usage.output_tokens,
            )
        )
        self.metrics.answered(
            route=exchange.route,
            model=exchange.model,
            version=version,
            customer=customer,
            status=outcome.status,
            error=error,
            latency_seconds=outcome.latency_seconds,
            first_token_seconds=first_token,
            tokens=None if usage is None else (usage.input_tokens, usage.output_tokens),
            cost_usd=outcome.cost_usd,
        )


def _milliseconds(seconds: float) -> float:
    """Return whole microseconds in milliseconds; rounding proper costs five times as much."""
    return int(seconds * 1e6) / 1e3


def _usage(
    exchange: Exchange, asked: ParsedRequest, answer: ParsedAnswer, *, complete: bool
) -> Usage | None:
    """Return the usage as told, or an estimate of it where something was generated."""
    usage = answer.usage
    if usage is None and (complete or exchange.pace.pieces):
        output = text_tokens(answer.text or "") + text_tokens(answer.tool_calls or "")
        usage = Usage(
            input_tokens=prompt_tokens(asked.messages),
            output_tokens=max(output, exchange.pace.pieces),
            estimated=True,
        )
    discarded = exchange.discarded
    if usage is None or discarded is None:
        return usage or discarded
    return Usage(
        input_tokens=usage.input_tokens + discarded.input_tokens,
        output_tokens=usage.output_tokens + discarded.output_tokens,
        estimated=usage.estimated or discarded.estimated,
    )


def _cost(target: Target, usage: Usage | None, server_seconds: float) -> float | None:
    upstream = target.upstream
    if upstream.price is not None and usage is not None:
        return upstream.price.of(usage.input_tokens, usage.output_tokens)
    if upstream.gpu_usd_per_hour is not None:
        return server_seconds * upstream.gpu_usd_per_hour / 3600
    return None
