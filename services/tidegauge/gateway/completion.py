"""Completes exchanges: each is recorded, logged and counted in the metrics exactly once.

Exchanges that end in one pass of the event loop are recorded together in the next pass. The
last bytes of their answers are sent after that, so the outbox has every exchange whose answer a
client has received in full. A batch needs one write to the outbox, and handling many exchanges
in a row costs less than handling each between other work. A request that waits long for its
answer gets a separate record.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import structlog

from tidegauge.capture.answer import ParsedAnswer, decide
from tidegauge.capture.exchange_record import (
    BOTH,
    REQUEST,
    RESPONSE,
    AnswerRecord,
    ExchangeRecord,
    LogLine,
)
from tidegauge.capture.frame import CompactFormat
from tidegauge.capture.history import NOTHING_TOLD
from tidegauge.capture.placement import Conversations, Placement
from tidegauge.capture.recorder import Recorder
from tidegauge.capture.text_limits import CapturedMessages
from tidegauge.gateway.apis import NOTHING_EXPECTED
from tidegauge.gateway.checking import Checker
from tidegauge.gateway.errors import ConfigurationError
from tidegauge.gateway.exchange_state import (
    RETRY_HEADERS,
    CapturePolicy,
    Conclusion,
    Exchange,
    Fault,
)
from tidegauge.gateway.metrics import Metrics
from tidegauge.gateway.policy.checks import has_form
from tidegauge.gateway.tracing import Tracing
from tidegauge.gateway.usage import usage_of

__all__ = ["Completion", "RequestLog"]

_LONG_SECONDS: Final = 1.0
_MOST_TOGETHER: Final = 64
_NEVER_CUT: Final = 12 * 1024
"""Bytes of a body that cannot have more messages than a record may carry."""
_OK: Final = 200
_ANSWERED: Final = frozenset({"ok", "pending", "unread"})
_FLUSH_BYTES: Final = 64 * 1024
_FLUSH_SECONDS: Final = 0.2

_encode_line: Final = msgspec.json.Encoder().encode_into

_log = structlog.get_logger("tidegauge.gateway")


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
        return not exchange.carries_all(self._policy, asked, answer)

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
            return self._record_of(exchange, conclusion), True
        except Exception:  # noqa: BLE001 - whatever is in it, the others are recorded
            _log.exception("request not recorded", request_id=exchange.arrival.request_id)
            self._recorder.not_made(format_)
        exchange.capture, exchange.captured, exchange.findings = "none", None, {}
        return self._record_of(exchange, conclusion), False

    def _record_of(self, exchange: Exchange, conclusion: Conclusion | None) -> ExchangeRecord:
        """Return an exchange's record, with its conversation where the shipper cannot derive it."""
        record, place = exchange.record(self._policy, conclusion), exchange.placement
        asked, answer = exchange.asked, record.answer
        if conclusion is None or answer is None or asked is None or place is None:
            return record
        if place.conversation_id is not None or (
            record.capture == "full"
            and record.messages is asked.messages
            and not answer.omitted_characters
        ):
            return record
        self._remember(exchange, place, conclusion)
        return msgspec.structs.replace(record, conversation_id=place.conversation_id)


class RequestLog:
    """Writes the request log in batches, each line at most 0.2 s after it was logged.

    Args:
        path: The file to append to; None for the standard output.

    Raises:
        ConfigurationError: The file cannot be opened.
    """

    def __init__(self, path: Path | None) -> None:
        self._owned = path is not None
        try:
            self._file: BinaryIO = path.open("ab", buffering=0) if path else sys.stdout.buffer
        except OSError as error:
            raise ConfigurationError(f"cannot write the request log: {error}") from error
        self._lines = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    def write(self, line: LogLine) -> None:
        """Add a line to the log; must be called in the event loop."""
        _encode_line(line, self._lines, -1)
        self._lines += b"\n"
        if len(self._lines) >= _FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write the buffered lines; errors are ignored so that they cannot stop the service."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, bytearray()
        try:
            self._file.write(lines)
            self._file.flush()
        except (OSError, ValueError):
            return

    def close(self) -> None:
        """Write the buffered lines and close the file."""
        self.flush()
        if self._owned:
            self._file.close()
