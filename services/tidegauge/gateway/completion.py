"""Completes exchanges: each is recorded, logged and counted in the metrics exactly once.

Exchanges that end in one pass of the event loop are recorded together in the next pass. The
last bytes of their answers are sent after that, so the outbox has every exchange whose answer a
client has received in full. A batch needs one write to the outbox, and handling many exchanges
in a row costs less than handling each between other work. A request that waits long for its
answer gets a separate record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog

from tidegauge.capture.answer import ParsedAnswer, decide
from tidegauge.capture.exchange_record import (
    BOTH,
    REQUEST,
    RESPONSE,
    AnswerRecord,
    ExchangeRecord,
    PendingChecks,
)
from tidegauge.capture.frame import CompactFormat
from tidegauge.capture.history import NOTHING_TOLD
from tidegauge.capture.metadata_context import context_in_metadata, with_context
from tidegauge.capture.placement import Conversations, Placement
from tidegauge.capture.recorder import Recorder
from tidegauge.capture.tags import NO_TAGS, TAG_HEADERS, tags_in
from tidegauge.capture.text_limits import CapturedMessages, captured_messages, captured_text
from tidegauge.gateway.apis import NOTHING_EXPECTED, ParsedRequest
from tidegauge.gateway.checking import Checker
from tidegauge.gateway.exchange_state import RETRY_HEADERS, Conclusion, Exchange, Fault
from tidegauge.gateway.metrics import Metrics
from tidegauge.gateway.policy.checks import check_wording, forms_unchecked, has_form
from tidegauge.gateway.request_log_file import RequestLog
from tidegauge.gateway.tracing import Tracing
from tidegauge.gateway.usage import usage_of
from tidegauge.schemas.exchange import Capture, Message, Sampling

__all__ = ["CapturePolicy", "Completion"]

_LONG_SECONDS: Final = 1.0
_MOST_TOGETHER: Final = 64
_NEVER_CUT: Final = 12 * 1024
"""Bytes of a body that cannot have more messages than a record may carry."""
_UNKNOWN: Final = "unknown"
_OK: Final = 200
_NO_SAMPLING: Final = Sampling()
_NOWHERE: Final = Placement(
    request_id="", sent=0, last_ms=0, conversation_id=None, turn=0, step=1, question=0
)
"""The place of a request that is not admitted."""
_ANSWERED: Final = frozenset({"ok", "pending", "unread"})

_log = structlog.get_logger("tidegauge.gateway")


@dataclass(frozen=True, slots=True)
class CapturePolicy:
    """How much text events carry, and how segments are split.

    Attributes:
        capture: How much text to capture, unless the key sets it.
        characters: Most characters of messages, of an answer's text and of its tool calls in an
            event.
        by_customer: Whether segments are split by customer.
        conversation_headers: Request headers that hold a conversation's id, in lower case.
        conversation_secret: Key of the ids of conversations that the client gives none.
        context_fields: Fields of a request's metadata that hold context.
    """

    capture: Capture = "full"
    characters: int = 65_536
    by_customer: bool = False
    conversation_headers: Sequence[bytes] = (b"x-session-id",)
    conversation_secret: bytes = b""
    context_fields: Sequence[str] = ()


class Completion:
    """Completes exchanges: records, logs and counts them.

    Args:
        policy: How much text events carry.
        recorder: A started recorder.
        log: The request log.
        metrics: The gateway's metrics.
        tracing: Tracing of exchanges; None for none.
    """

    def __init__(
        self,
        policy: CapturePolicy,
        recorder: Recorder,
        log: RequestLog,
        metrics: Metrics,
        tracing: Tracing | None = None,
    ) -> None:
        self._policy = policy
        self._recorder = recorder
        self._log = log
        self.metrics = metrics
        self._tracing = tracing
        self._conversations = Conversations(policy.conversation_secret)
        self._uncut = min(policy.characters, _NEVER_CUT)
        self._telling = frozenset((*policy.conversation_headers, *RETRY_HEADERS))
        self._checker = Checker()
        self._waiting: dict[str, Exchange] = {}
        self._ended: list[tuple[Exchange, Conclusion]] = []
        self._leaving: list[Callable[[], None]] = []

    def begin(self, exchange: Exchange) -> None:
        """Count an exchange as in flight and begin its span."""
        exchange.in_flight = self.metrics.in_flight
        self.metrics.in_flight += 1
        if self._tracing is not None:
            exchange.arrival = self._tracing.begin(exchange.arrival)

    def refused(self) -> bool:
        """Count a request without a valid key; return whether it is not to be recorded."""
        self.metrics.refusals.add("unauthorized")
        if self.metrics.refusals.sampled():
            return False
        self._recorder.refused()
        return True

    def end(self) -> None:
        """Count an exchange as no longer in flight."""
        self.metrics.in_flight -= 1

    def admit(self, exchange: Exchange, body: bytes = b"") -> None:
        """Register a request that is about to be forwarded, and find its conversation.

        The request is recorded with its answer, or by ``record_waiting`` if the answer takes
        long. A copy for a candidate has the place of its original already.
        """
        asked, arrival = exchange.asked, exchange.arrival
        capture = exchange.capture = exchange.customer.capture or self._policy.capture
        if asked is not None and capture == "full" and 0 < len(body) <= self._uncut:
            exchange.captured = CapturedMessages(asked.messages, 0)
        if asked is not None and exchange.placement is None:
            told = NOTHING_TOLD
            if (
                not exchange.headers.keys().isdisjoint(self._telling)
                or asked.conversation is not None
                or asked.predecessor is not None
            ):
                told = exchange.told(self._policy.conversation_headers)
            exchange.placement = self._conversations.place(
                exchange.customer.name,
                arrival.request_id,
                asked.messages,
                arrival.time_ms,
                told,
                body,
            )
        self._waiting[arrival.request_id] = exchange

    async def check(self, exchange: Exchange, answer: ParsedAnswer) -> dict[str, str]:
        """Check an answer now and return the findings; none of what no model generated."""
        asked, findings = exchange.asked, {}
        if asked is not None and answer.generated:
            findings = await self._checker.check(asked.messages, asked.expectations, answer)
        exchange.findings = findings
        return findings

    def must_check(self, exchange: Exchange, answer: ParsedAnswer) -> bool:
        """Whether the form of an answer has to be checked before ``conclude``.

        This is so if the record will not carry all the text that the shipper would need.
        """
        asked = exchange.asked
        if asked is None or exchange.findings is not None:
            return False
        if asked.expectations is NOTHING_EXPECTED and answer.tool_calls is None:
            return False
        if not answer.generated or not has_form(asked.expectations, answer):
            return False
        if decide(answer, _OK, None, done=True).outcome != "ok":
            return False
        return not self._carries_all(exchange, asked, answer)

    def conclude(
        self,
        exchange: Exchange,
        status: int,
        answer: ParsedAnswer,
        fault: Fault | None = None,
        *,
        done: bool = True,
    ) -> None:
        """End an exchange; it is recorded in the event loop's next pass.

        Until then the last bytes of the answer have to wait; see ``on_recorded``. A second call
        for the same exchange does nothing.

        Args:
            exchange: The exchange.
            status: HTTP status that the client sees.
            answer: The answer, as far as it came.
            fault: How the gateway or the transport failed; None if they did not.
            done: Whether the answer came to its end, as the transport tells it.
        """
        if exchange.conclusion is not None:
            return
        asked, attempt = exchange.asked, exchange.attempt
        ending = decide(answer, status, fault, done=done)
        usage = cost_usd = None
        if asked is not None and attempt is not None:
            attempt.stop()
            usage, price = answer.usage, attempt.target.upstream.price
            if usage is None or exchange.discarded is not None:
                usage = usage_of(exchange, asked, answer, ending)
            # What a server's time costs, no gateway can say alone: others may use it, too.
            cost_usd = None if price is None or usage is None else price.of(usage)
        conclusion = exchange.conclusion = Conclusion(
            status=status,
            ending=ending,
            answer=answer,
            usage=usage,
            cost_usd=cost_usd,
            latency_seconds=time.perf_counter() - exchange.arrival.started,
        )
        place = exchange.placement
        if place is not None and (
            place.turn != 1
            or place.repeat_of is not None
            or answer.response_id is not None
            or ending.outcome not in _ANSWERED
        ):
            self._remember(exchange, place, conclusion)
        self._ended.append((exchange, conclusion))
        if len(self._ended) == 1:
            asyncio.get_running_loop().call_soon(self.record)
        elif len(self._ended) == _MOST_TOGETHER:
            self.record()

    def _remember(self, exchange: Exchange, place: Placement, conclusion: Conclusion) -> None:
        """Remember how a request was answered, for the requests that follow it."""
        asked, answer = exchange.asked, conclusion.answer
        if asked is None or exchange.arrival.shadow:
            return
        self._conversations.answered(
            *(place, exchange.customer.name, asked.messages, answer.text, answer.tool_calls),
            response_id=answer.response_id,
            failed=conclusion.ending.outcome not in _ANSWERED,
            now_ms=exchange.arrival.time_ms + int(conclusion.latency_seconds * 1e3),
        )

    def on_recorded(self, leave: Callable[[], None]) -> None:
        """Call a function once every ended exchange has been recorded."""
        if self._ended:
            self._leaving.append(leave)
        else:
            leave()

    def record(self) -> None:
        """Record all ended exchanges together, then call the functions of ``on_recorded``."""
        ended, self._ended = self._ended, []
        leaving, self._leaving = self._leaving, []
        if ended:
            self._record_ended(ended)
        for leave in leaving:
            leave()

    def record_waiting(self, now: float) -> None:
        """Record the requests that have waited for their answers for more than a second.

        Args:
            now: The current time in seconds, on the clock of ``Arrival.started``.
        """
        late = []
        for exchange in self._waiting.values():
            if now - exchange.arrival.started < _LONG_SECONDS:
                break  # the rest arrived later
            late.append(exchange)
        for start in range(0, len(late), _MOST_TOGETHER):
            records = []
            for exchange in late[start : start + _MOST_TOGETHER]:
                del self._waiting[exchange.arrival.request_id]
                record, whole = self._make(REQUEST, exchange, None)
                if whole:
                    records.append(record)
            if records:
                self._recorder.record_compact(REQUEST, records)

    def close(self) -> None:
        """Record the ended exchanges and stop checking."""
        self.record()
        self._checker.close()

    def _record_ended(self, ended: Sequence[tuple[Exchange, Conclusion]]) -> None:
        records: list[ExchangeRecord] = []
        both: list[ExchangeRecord] = []
        answers: list[ExchangeRecord] = []
        for exchange, conclusion in ended:
            waited = self._waiting.pop(exchange.arrival.request_id, None) is not None
            record, whole = self._make(BOTH if waited else RESPONSE, exchange, conclusion)
            records.append(record)
            if whole:
                (both if waited else answers).append(record)
        if both:
            self._recorder.record_compact(BOTH, both, served=len(both))
        if answers:
            self._recorder.record_compact(RESPONSE, answers, served=len(answers))
        if not_made := len(ended) - len(both) - len(answers):
            self._recorder.served(not_made)
        for record in records:
            if record.answer is not None and not record.shadow:
                self._tell(record, record.answer)

    def _tell(self, record: ExchangeRecord, answer: AnswerRecord) -> None:
        try:
            self._log.write(record.log_line(answer))
            self.metrics.count(record, answer)
            if self._tracing is not None:
                self._tracing.end(record, answer)
        except Exception:  # noqa: BLE001 - the answer leaves all the same
            _log.exception("request not logged", request_id=record.request_id)

    def _make(
        self,
        format_: CompactFormat[ExchangeRecord],
        exchange: Exchange,
        conclusion: Conclusion | None,
    ) -> tuple[ExchangeRecord, bool]:
        """Return an exchange's record, and whether it is complete.

        A record that cannot be built is counted as dropped. Then the returned record has no
        text and is used for the log and the metrics only.
        """
        try:
            return self._exchange_record(exchange, conclusion), True
        except Exception:  # noqa: BLE001 - whatever is in it, the others are recorded
            _log.exception("request not recorded", request_id=exchange.arrival.request_id)
            self._recorder.not_made(format_)
        exchange.capture, exchange.captured, exchange.findings = "none", None, {}
        return self._exchange_record(exchange, conclusion), False

    def _exchange_record(self, exchange: Exchange, conclusion: Conclusion | None) -> ExchangeRecord:
        arrival, asked, attempt = exchange.arrival, exchange.asked, exchange.attempt
        customer, trace = exchange.customer.name, arrival.traceparent
        messages, omitted = ((), 0) if asked is None else self._messages(exchange, asked)
        context: Sequence[Message] = ()
        if asked is not None and asked.metadata is not None and exchange.capture != "none":
            context = context_in_metadata(asked.metadata, self._policy.context_fields)
            captured, most = self._messages(exchange, asked), self._policy.characters
            messages, omitted = with_context(captured, context, exchange.capture, most)
        place, answer = exchange.placement or _NOWHERE, None
        if conclusion is not None:
            answer = self._answer_record(exchange, conclusion)
            cut = exchange.capture != "full" or omitted or answer.omitted_characters or context
            if cut and place is not _NOWHERE and place.conversation_id is None:
                self._remember(exchange, place, conclusion)  # the shipper could not derive its id
        return ExchangeRecord(
            arrival.request_id,
            arrival.time_ms,
            arrival.route,
            _UNKNOWN if attempt is None else attempt.target.name,
            "" if attempt is None else attempt.target.upstream.version,
            customer,
            exchange.capture,
            messages,
            0 if asked is None else sum([len(message.content) for message in asked.messages]),
            _NO_SAMPLING if attempt is None else attempt.sampling,
            asked is not None and asked.stream,
            arrival.session,
            None if trace is None else trace.split("-")[1],
            answer,
            customer if self._policy.by_customer else "",
            arrival.shadow,
            place.conversation_id,
            place.turn or None,
            place.repeat_of,
            exchange.in_flight,
            None if exchange.capture == "none" else omitted,
            place.step,
            exchange.customer.key_id,
            self._tags(exchange),
        )

    def _tags(self, exchange: Exchange) -> dict[str, str]:
        """Return what the request says that it is made with: nothing, in most."""
        metadata = None if exchange.asked is None else exchange.asked.metadata
        if metadata is None and exchange.headers.keys().isdisjoint(TAG_HEADERS):
            return NO_TAGS
        return tags_in(metadata, exchange.headers)

    def _messages(self, exchange: Exchange, asked: ParsedRequest) -> CapturedMessages:
        """Return the captured messages; the same tuple if they are captured in full."""
        captured = exchange.captured
        if captured is None:
            captured = exchange.captured = captured_messages(
                asked.messages, exchange.capture, self._policy.characters
            )
        return captured

    def _answer_record(self, exchange: Exchange, conclusion: Conclusion) -> AnswerRecord:
        capture, limit = exchange.capture, self._policy.characters
        answer, ending, attempt = conclusion.answer, conclusion.ending, exchange.attempt
        first, started = exchange.first_piece, exchange.arrival.started
        text, omitted = answer.text, 0
        calls, omitted_calls = None, 0
        characters = 0 if text is None else len(text)
        if capture != "full" or characters > limit:
            text, omitted = captured_text(text, capture, limit)
        if answer.tool_calls is not None:
            calls, omitted_calls = captured_text(answer.tool_calls, capture, limit)
        record = AnswerRecord(
            conclusion.status,
            conclusion.latency_seconds * 1e3,
            ending.error,
            ending.detail,
            text,
            characters,
            calls,
            answer.finish_reason,
            answer.model,
            answer.fingerprint,
            None if first is None else (first - started) * 1e3,
            exchange.inter_token() if exchange.gaps else None,
            answer.queue_ms,
            conclusion.usage,
            conclusion.cost_usd,
            None if attempt is None else attempt.target.label,
            1 if attempt is None else attempt.number,
            self._checks(exchange, conclusion),
            None if capture == "none" else omitted + omitted_calls,
            ending.outcome,
            answer.unread,
        )
        if attempt is None or not attempt.again_at:
            return record
        return msgspec.structs.replace(record, retried_ms=(attempt.again_at - started) * 1e3)

    def _carries_all(self, exchange: Exchange, asked: ParsedRequest, answer: ParsedAnswer) -> bool:
        """Whether the record carries all the text that the checks need."""
        limit = self._policy.characters
        return (
            exchange.capture == "full"
            and self._messages(exchange, asked).messages is asked.messages
            and len(answer.text or "") <= limit
            and len(answer.tool_calls or "") <= limit
            and (asked.expectations is NOTHING_EXPECTED or asked.expectations.size() <= limit)
        )

    def _checks(self, exchange: Exchange, conclusion: Conclusion) -> dict[str, str] | PendingChecks:
        """Return the findings, or the inputs that the shipper needs to make the checks."""
        asked, answer, findings = exchange.asked, conclusion.answer, exchange.findings
        if findings is not None:
            return findings
        if asked is None or conclusion.ending.outcome != "ok" or not answer.generated:
            return {}
        if self._carries_all(exchange, asked, answer):
            return PendingChecks(asked.expectations, answer.refusal, answer.media)
        # This runs in the event loop. Forms that had to be checked already were (``must_check``).
        return check_wording(asked.messages, answer) | forms_unchecked(
            asked.expectations, answer, "busy"
        )
