"""Puts exchanges on record: one record for each, or two for one that takes long.

Exchanges that end in one pass of the event loop are appended to the outbox together, with one
write in the next pass, and their answers' last bytes leave after it: an answer that a client
has is one that the ledger knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tidegauge.capture.folding import Fold, Folded
from tidegauge.capture.recorder import Recorder
from tidegauge.gateway.checks import check
from tidegauge.gateway.exchange import Exchange, Outcome
from tidegauge.gateway.privacy import captured_messages, captured_text
from tidegauge.gateway.record import BOTH, REQUEST, RESPONSE, Record, Reply, Unchecked
from tidegauge.schemas.exchange import Capture, CheckOutcome

__all__ = ["CapturePolicy", "Recording"]

_LONG_SECONDS: Final = 1.0
_MOST_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class CapturePolicy:
    """How much events carry.

    Attributes:
        capture: How much text, where the key does not say.
        characters: Most characters of text in an event.
        by_customer: Whether segments are split by customer.
    """

    capture: Capture = "full"
    characters: int = 65_536
    by_customer: bool = False


class Recording:
    """Records exchanges.

    Args:
        policy: How much events carry.
        recorder: Where they go, already started.
    """

    def __init__(self, policy: CapturePolicy, recorder: Recorder) -> None:
        self._policy = policy
        self._recorder = recorder
        self._waiting: dict[str, Exchange] = {}
        self._ended: list[Folded[Record]] = []
        self._leaving: list[Callable[[], None]] = []

    def arrived(self, exchange: Exchange) -> None:
        """A request is about to be forwarded.

        It is recorded with its answer, or by ``record_waiting`` if that takes long.
        """
        exchange.capture = exchange.customer.capture or self._policy.capture
        self._waiting[exchange.request_id] = exchange

    def record_waiting(self, now: float) -> None:
        """Record the requests that have waited for their answers for more than a second.

        Args:
            now: On the clock of ``Exchange.started``.
        """
        for exchange in list(self._waiting.values()):
            if now - exchange.started < _LONG_SECONDS:
                return  # the rest has come later
            del self._waiting[exchange.request_id]
            self._settle_text(exchange)
            self._recorder.record_folded([self._fold(exchange, REQUEST, None)])

    def concluded(self, exchange: Exchange, outcome: Outcome) -> None:
        """An exchange has ended: it will be on record in the loop's next pass.

        Until then its answer's last bytes have to wait; see ``once_recorded``.
        """
        self._settle_text(exchange)
        waited = self._waiting.pop(exchange.request_id, None)
        reply = self._reply(exchange, outcome)
        self._ended.append(self._fold(exchange, RESPONSE if waited is None else BOTH, reply))
        if len(self._ended) == 1:
            asyncio.get_running_loop().call_soon(self.record_ended)
        elif len(self._ended) == _MOST_AT_ONCE:
            self.record_ended()

    def once_recorded(self, leave: Callable[[], None]) -> None:
        """Call a function once every exchange that has ended is on record."""
        if self._ended:
            self._leaving.append(leave)
        else:
            leave()

    def record_ended(self) -> None:
        """Put on record what has ended, and let the answers leave."""
        ended, self._ended = self._ended, []
        leaving, self._leaving = self._leaving, []
        if ended:
            self._recorder.record_folded(ended)
            self._recorder.served(len(ended))
        for leave in leaving:
            leave()

    def _settle_text(self, exchange: Exchange) -> None:
        """Decide how much of the conversation is captured; what may be whole stays the same."""
        if exchange.asked is not None and not exchange.messages:
            exchange.messages = captured_messages(
                exchange.asked.messages, exchange.capture, self._policy.characters
            )

    def _fold(self, exchange: Exchange, fold: Fold[Record], reply: Reply | None) -> Folded[Record]:
        policy, asked = self._policy, exchange.asked
        record = Record(
            route=exchange.route,
            model=exchange.model,
            version=exchange.version,
            tenant=exchange.customer.name if policy.by_customer else "",
            customer=exchange.customer.name,
            capture=exchange.capture,
            messages=exchange.messages,
            prompt_characters=exchange.prompt_characters,
            sampling=exchange.sampling,
            stream=asked is not None and asked.stream,
            shadow=exchange.shadow,
            session=exchange.session,
            trace_id=exchange.trace_id,
            reply=reply,
        )
        return Folded(fold, exchange.arrived_ms, exchange.request_id, record)

    def _reply(self, exchange: Exchange, outcome: Outcome) -> Reply:
        capture, limit = exchange.capture, self._policy.characters
        answer, first = outcome.answer, exchange.pace.first
        return Reply(
            status=outcome.status,
            latency_ms=outcome.latency_seconds * 1e3,
            error=outcome.error,
            error_detail=outcome.detail,
            text=captured_text(answer.text, capture, limit),
            output_characters=len(answer.text or ""),
            tool_calls=captured_text(answer.tool_calls, capture, limit),
            finish_reason=answer.finish_reason,
            served_model=answer.model,
            served_fingerprint=answer.fingerprint,
            time_to_first_token_ms=None if first is None else (first - exchange.started) * 1e3,
            inter_token=exchange.pace.summary(),
            queue_ms=answer.queue_ms,
            usage=outcome.usage,
            cost_usd=outcome.cost_usd,
            upstream=None if exchange.target is None else exchange.target.label,
            attempts=exchange.attempts,
            checks=self._checks(exchange, outcome),
        )

    def _checks(self, exchange: Exchange, outcome: Outcome) -> dict[str, CheckOutcome] | Unchecked:
        """Return what has been found, or what the shipper needs to find it by itself."""
        asked, answer = exchange.asked, outcome.answer
        if exchange.checks is not None:
            return exchange.checks
        if outcome.error is not None or asked is None:
            return {}
        limit, wanted = self._policy.characters, asked.expectations
        if (
            exchange.capture == "full"
            and exchange.messages is asked.messages
            and len(answer.text or "") <= limit
            and len(answer.tool_calls or "") <= limit
            and wanted.size() <= limit
        ):
            return Unchecked(wanted, answer.refusal)  # a record carries all of the text
        return check(asked.messages, wanted, answer)
