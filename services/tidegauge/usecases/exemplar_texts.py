"""The texts of exemplars, read where the log still has them.

Sketches, verdicts and alerts live for longer than texts, so they only say where a text lies. What
shows them asks here; what the log does not hold any more reads as expired.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic
from typing import Final, Protocol

import msgspec
import structlog

from tidegauge.monitoring.exemplars import (
    exemplars_of,
    with_exemplars,
    with_exemplars_of_alert,
)
from tidegauge.monitoring.view import MonitorView
from tidegauge.quality.context import ContextRule
from tidegauge.quality.exchange_texts import exchange_texts, middle_cut, unsupported_facts
from tidegauge.quality.hallucination import LABEL
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.errors import TidegaugeError
from tidegauge.schemas.evaluations import Remark
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.findings import Alert, Verdict
from tidegauge.schemas.segments import cut
from tidegauge.schemas.sketches import Exemplar, RecordPlace, TextState
from tidegauge.schemas.topics import REMARKS
from tidegauge.streaming.processor import Record

__all__ = ["ExemplarTexts", "LogTexts", "TextLog"]

_log = structlog.get_logger(__name__)

_REMEMBERED: Final = 2_000
_AT_ONCE: Final = 300
_SECONDS: Final = 2.0
_MEMORY_SECONDS: Final = 60.0
"""How long a text is shown from memory; ``forget`` then removes it."""
_PAUSE_SECONDS: Final = 10.0
"""After a failure nothing is read for so long, so that no page waits again and again."""


class TextLog(Protocol):
    """The log, as far as texts are read from it."""

    def at(
        self, places: Iterable[RecordPlace], *, seconds: float
    ) -> Mapping[RecordPlace, Record | None]:
        """Return records by place, None for those that are gone: see ``reader.read_at``."""

    def remarks(self, start_ms: int) -> Iterable[Record]:
        """Return the remarks since a moment, Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class LogTexts:
    """The log of a broker.

    Attributes:
        kafka: How to reach Kafka.
    """

    kafka: KafkaSettings

    def at(
        self, places: Iterable[RecordPlace], *, seconds: float
    ) -> Mapping[RecordPlace, Record | None]:
        """Return records by place: see ``reader.read_at``."""
        return reader.read_at(self.kafka, places, seconds=seconds)

    def remarks(self, start_ms: int) -> Iterable[Record]:
        """Return the remarks since a moment."""
        return reader.read(self.kafka, REMARKS, start_ms=start_ms)


@dataclass(frozen=True, slots=True)
class _Texts:
    """What was found of one exemplar's texts, and until when that is remembered."""

    state: TextState
    until: float
    question: str = ""
    context: str = ""
    answer: str = ""
    reasons: Mapping[str, str] = field(default_factory=dict)


_UNREAD: Final = _Texts("unread", 0.0)


class ExemplarTexts:
    """Fills the texts of exemplars in, and remembers them for a minute.

    Args:
        log: Where texts are read.
        rule: Which texts of an exchange are context.
        clock: Monotonic clock, seconds.
    """

    def __init__(
        self, log: TextLog, rule: ContextRule, clock: Callable[[], float] = monotonic
    ) -> None:
        self._log = log
        self._rule = rule
        self._clock = clock
        self._reading = threading.Lock()
        self._known: OrderedDict[RecordPlace, _Texts] = OrderedDict()
        self._paused_until = 0.0

    def view(self, view: MonitorView) -> MonitorView:
        """Return a view with the texts of its exemplars, those of alarms first."""
        alarmed = [alert.verdict for alert in view.alerts]
        others = sorted(view.verdicts, key=lambda verdict: not verdict.evidence)
        self._read([*alarmed, *others])
        return msgspec.structs.replace(
            view,
            verdicts=tuple(with_exemplars(verdict, self._filled) for verdict in view.verdicts),
            alerts=tuple(with_exemplars_of_alert(alert, self._filled) for alert in view.alerts),
        )

    def alerts(self, alerts: Iterable[Alert]) -> tuple[Alert, ...]:
        """Return alerts with the texts of their exemplars."""
        found = tuple(alerts)
        self._read([alert.verdict for alert in found])
        return tuple(with_exemplars_of_alert(alert, self._filled) for alert in found)

    def forget(self) -> None:
        """Forget the texts that have been remembered for a minute."""
        with self._reading:
            now = self._clock()
            for place in [p for p, texts in self._known.items() if texts.until <= now]:
                del self._known[place]

    def _filled(self, exemplar: Exemplar, judge: str) -> Exemplar:
        if exemplar.source is None:
            return exemplar
        texts = self._known.get(exemplar.source, _UNREAD)
        if texts.state != "shown":
            return msgspec.structs.replace(exemplar, text_state=texts.state)
        if not judge:
            return msgspec.structs.replace(exemplar, text_state="shown", text=texts.question)
        return msgspec.structs.replace(
            exemplar,
            text_state="shown",
            text=texts.question,
            context=texts.context,
            answer=texts.answer,
            reason=texts.reasons.get(judge, ""),
        )

    def _read(self, verdicts: Iterable[Verdict]) -> None:
        """Read the texts of exemplars that are not remembered, as many as there is time for."""
        judged = {
            exemplar.source: exemplar.request_id
            for verdict in verdicts
            for exemplar in exemplars_of(verdict)
            if exemplar.source is not None
        }
        self.forget()
        with self._reading:
            now = self._clock()
            wanted = dict(
                islice((item for item in judged.items() if item[0] not in self._known), _AT_ONCE)
            )
            if not wanted or now < self._paused_until:
                return
            try:
                self._learn(wanted)
            except TidegaugeError as error:
                self._paused_until = self._clock() + _PAUSE_SECONDS
                _log.warning("texts_not_read", error=str(error)[:400])
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)

    def _learn(self, wanted: Mapping[RecordPlace, str]) -> None:
        records = self._log.at(wanted, seconds=_SECONDS)
        events = {
            place: None if record is None else _event(record, wanted[place])
            for place, record in records.items()
        }
        remarks = self._remarks([event for event in events.values() if event is not None])
        until = self._clock() + _MEMORY_SECONDS
        for place, event in events.items():
            self._known[place] = self._texts(event, remarks, until)

    def _texts(
        self,
        event: RequestEvent | ResponseEvent | None,
        remarks: Mapping[str, Mapping[str, str]],
        until: float,
    ) -> _Texts:
        if event is None:
            return _Texts("expired", until)
        found = exchange_texts(event, self._rule)
        if found is None:
            return _Texts("not_captured", until)
        reasons = dict(remarks.get(event.request_id, {}))
        if isinstance(event, ResponseEvent) and (said := unsupported_facts(event, self._rule)):
            reasons[LABEL] = said
        return _Texts("shown", until, found.question, found.context, found.answer, reasons)

    def _remarks(self, events: Iterable[RequestEvent | ResponseEvent]) -> dict[str, dict[str, str]]:
        """Return what judges said of answers, by request and judge."""
        answered = {event.request_id: event for event in events if isinstance(event, ResponseEvent)}
        found: dict[str, dict[str, str]] = {}
        if not answered:
            return found
        deadline = self._clock() + _SECONDS
        for record in self._log.remarks(min(event.time_ms for event in answered.values())):
            if self._clock() > deadline:
                break
            try:
                remark = decode(record.value, Remark)
            except DecodeError:
                continue
            if remark.request_id in answered:
                found.setdefault(remark.request_id, {})[remark.author] = middle_cut(remark.text)
        return found


def _event(record: Record, request_id: str) -> RequestEvent | ResponseEvent | None:
    """Return the event of a record; None if another one lies there now, as in a topic remade."""
    try:
        event = decode(record.value, RequestEvent, ResponseEvent)
    except DecodeError:
        return None
    return event if cut(event.request_id) == request_id else None
