"""Puts exchanges on record: one record for each, or two for one that takes long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from tidegauge.capture.compact import CompactFormat
from tidegauge.capture.recorder import Recorder
from tidegauge.gateway.apis import ParsedAnswer, ParsedRequest
from tidegauge.gateway.exchange import Exchange, Outcome
from tidegauge.gateway.policy.checks import Finding, check_wording, forms_unchecked, has_form
from tidegauge.gateway.policy.privacy import captured_messages, captured_text
from tidegauge.gateway.record import (
    BOTH,
    REQUEST,
    RESPONSE,
    AnswerRecord,
    ExchangeRecord,
    PendingChecks,
)
from tidegauge.schemas.exchange import Capture

__all__ = ["CapturePolicy", "Recording"]

_LONG_SECONDS: Final = 1.0
_MOST_TOGETHER: Final = 64

_log = structlog.get_logger("tidegauge.gateway")


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
        late = []
        for exchange in self._waiting.values():
            if now - exchange.started < _LONG_SECONDS:
                break  # the rest has come later
            late.append(exchange)
        for start in range(0, len(late), _MOST_TOGETHER):
            records = []
            for exchange in late[start : start + _MOST_TOGETHER]:
                del self._waiting[exchange.request_id]
                record = self._made(REQUEST, exchange, None)
                if record is not None:
                    records.append(record)
            if records:
                self._recorder.record_folded(REQUEST, records)

    def ended(self, exchanges: Sequence[tuple[Exchange, Outcome]]) -> None:
        """Exchanges have ended: put them on record, all together; never raises."""
        whole: list[ExchangeRecord] = []
        answers: list[ExchangeRecord] = []
        for exchange, outcome in exchanges:
            asked_before = self._waiting.pop(exchange.request_id, None) is None
            record = self._made(RESPONSE if asked_before else BOTH, exchange, outcome)
            if record is not None:
                (answers if asked_before else whole).append(record)
        if whole:
            self._recorder.record_folded(BOTH, whole)
        if answers:
            self._recorder.record_folded(RESPONSE, answers)
        self._recorder.served(len(exchanges))

    def _made(
        self, fold: CompactFormat[ExchangeRecord], exchange: Exchange, outcome: Outcome | None
    ) -> ExchangeRecord | None:
        """Return an exchange's record; None, and counted as dropped, if it cannot be made."""
        try:
            self._settle_text(exchange)
            reply = None if outcome is None else self._reply(exchange, outcome)
            return self._record(exchange, reply)
        except Exception:  # noqa: BLE001 - whatever is in it, the others are put on record
            _log.exception("request not recorded", request_id=exchange.request_id)
            self._recorder.not_made(fold)
            return None

    def _settle_text(self, exchange: Exchange) -> None:
        """Decide how much of the conversation is captured; what may be whole stays the same."""
        if exchange.asked is not None and not exchange.messages:
            exchange.messages = captured_messages(
                exchange.asked.messages, exchange.capture, self._policy.characters
            )

    def _record(self, exchange: Exchange, reply: AnswerRecord | None) -> ExchangeRecord:
        policy, asked = self._policy, exchange.asked
        return ExchangeRecord(
            request_id=exchange.request_id,
            time_ms=exchange.arrived_ms,
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

    def _reply(self, exchange: Exchange, outcome: Outcome) -> AnswerRecord:
        capture, limit = exchange.capture, self._policy.characters
        answer, first = outcome.answer, exchange.pace.first
        return AnswerRecord(
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

    def needs_findings(self, exchange: Exchange, answer: ParsedAnswer) -> bool:
        """Whether the form of an answer has to be checked before ``ended``, if ever.

        Its record will not carry all the text that the shipper would need.
        """
        asked = exchange.asked
        if exchange.checks is not None or asked is None:
            return False
        if not has_form(asked.expectations, answer):
            return False
        self._settle_text(exchange)
        return not self._carries_all(exchange, asked, answer)

    def _carries_all(self, exchange: Exchange, asked: ParsedRequest, answer: ParsedAnswer) -> bool:
        limit = self._policy.characters
        return (
            exchange.capture == "full"
            and exchange.messages is asked.messages
            and len(answer.text or "") <= limit
            and len(answer.tool_calls or "") <= limit
            and asked.expectations.size() <= limit
        )

    def _checks(self, exchange: Exchange, outcome: Outcome) -> dict[str, Finding] | PendingChecks:
        """Return what has been found, or what the shipper needs to find it by itself."""
        asked, answer = exchange.asked, outcome.answer
        if exchange.checks is not None:
            return exchange.checks
        if outcome.error is not None or asked is None:
            return {}
        if self._carries_all(exchange, asked, answer):
            return PendingChecks(asked.expectations, answer.refusal)
        # Forms that had to be checked have been, see above; this is the event loop.
        return check_wording(asked.messages, answer) | forms_unchecked(
            asked.expectations, answer, "busy"
        )
