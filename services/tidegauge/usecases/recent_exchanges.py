"""The newest exchanges of the log that meet a filter, and what judges said of one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heappush, heapreplace
from time import monotonic
from typing import Final

from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode
from tidegauge.schemas.evaluations import JudgmentEvent
from tidegauge.schemas.exchange import RequestEvent, ResponseEvent
from tidegauge.schemas.topics import JUDGMENTS, RESPONSES, Topic
from tidegauge.streaming.processor import Record
from tidegauge.usecases.find_exchange import find_exchange

__all__ = ["ExchangeFilter", "FoundExchanges", "LogExchanges", "judgments_of", "recent_exchanges"]

_STRETCHES_MS: Final = (60_000, 10 * 60_000, 60 * 60_000)
"""How far back is looked, in turn, until enough is found."""

_SECONDS: Final = 3.0
_LAG_MS: Final = 600_000
"""Judges may publish this much later than the exchange's own time."""

Read = Callable[[Topic, int], Iterator[Record]]
"""Yields a topic's records from a moment on, Unix milliseconds."""


@dataclass(frozen=True, slots=True)
class ExchangeFilter:
    """What an exchange has to be like; empty fields ask for nothing.

    Attributes:
        model: Its model.
        version: Its version.
        route: Its route.
        customer: Its customer.
        only: ``failed`` for failures of the service, ``check`` for answers that failed a check.
    """

    model: str = ""
    version: str = ""
    route: str = ""
    customer: str = ""
    only: str = ""

    def __call__(self, event: ResponseEvent) -> bool:
        """Return whether an exchange meets it."""
        segment = event.segment
        pairs = (
            (self.model, segment.model),
            (self.version, segment.version),
            (self.route, segment.route),
            (self.customer, event.customer),
        )
        if any(wanted and wanted != found for wanted, found in pairs):
            return False
        if self.only == "failed":
            return event.error is not None
        return self.only != "check" or "failed" in event.checks.values()


@dataclass(frozen=True, slots=True)
class FoundExchanges:
    """The newest exchanges that meet a filter.

    Attributes:
        exchanges: The exchanges, the newest first.
        since_ms: How far back was looked, Unix milliseconds.
        complete: Whether all since then was looked at; otherwise time was up.
    """

    exchanges: tuple[ResponseEvent, ...]
    since_ms: int
    complete: bool


def recent_exchanges(
    read: Read,
    wanted: ExchangeFilter,
    *,
    now_ms: int,
    most: int = 50,
    clock: Callable[[], float] = monotonic,
) -> FoundExchanges:
    """Return the newest exchanges that meet a filter, of the last hour at most.

    Args:
        read: Reads the log.
        wanted: The filter.
        now_ms: The present, Unix milliseconds.
        most: Exchanges to return at most.
        clock: Seconds that pass; after some of them what was found so far is returned.

    Raises:
        TopicError: There is no such topic.
        LogError: The broker does not answer.
    """
    deadline = clock() + _SECONDS
    found = FoundExchanges((), now_ms, complete=True)
    for stretch_ms in _STRETCHES_MS:
        found = _newest(read, wanted, now_ms - stretch_ms, most, lambda: clock() > deadline)
        if len(found.exchanges) >= most or not found.complete:
            break
    return found


def _newest(
    read: Read, wanted: ExchangeFilter, start_ms: int, most: int, late: Callable[[], bool]
) -> FoundExchanges:
    kept: list[tuple[int, str, ResponseEvent]] = []
    complete = True
    for record in read(RESPONSES, start_ms):
        if late():
            complete = False
            break
        try:
            event = decode(record.value, ResponseEvent)
        except DecodeError:
            continue
        if event.shadow or not wanted(event):
            continue
        entry = (event.time_ms, event.request_id, event)
        if len(kept) < most:
            heappush(kept, entry)
        elif entry[:2] > kept[0][:2]:
            heapreplace(kept, entry)
    newest = sorted(kept, key=lambda entry: entry[:2], reverse=True)
    return FoundExchanges(tuple(event for _, _, event in newest), start_ms, complete)


def judgments_of(read: Read, event: ResponseEvent) -> tuple[JudgmentEvent, ...]:
    """Return what the judges said of an exchange's answer, in order of their names.

    Args:
        read: Reads the log.
        event: The exchange.

    Raises:
        TopicError: There is no such topic.
        LogError: The broker does not answer.
    """
    name = event.request_id.encode()
    found: dict[tuple[str, str], JudgmentEvent] = {}
    for record in read(JUDGMENTS, event.time_ms):
        if record.timestamp_ms > event.time_ms + _LAG_MS:
            continue
        if name not in record.value:
            continue
        try:
            judgment = decode(record.value, JudgmentEvent)
        except DecodeError:
            continue
        if judgment.request_id == event.request_id:
            found[judgment.judge, judgment.specification_hash] = judgment
    return tuple(found[key] for key in sorted(found))


@dataclass(frozen=True, slots=True)
class LogExchanges:
    """The exchanges that a broker's log holds.

    Attributes:
        kafka: How to reach Kafka.
    """

    kafka: KafkaSettings

    def _read(self, topic: Topic, start_ms: int) -> Iterator[Record]:
        return reader.read(self.kafka, topic, start_ms=start_ms)

    def recent(self, wanted: ExchangeFilter, now_ms: int) -> FoundExchanges:
        """Return the newest exchanges that meet a filter: see ``recent_exchanges``."""
        return recent_exchanges(self._read, wanted, now_ms=now_ms)

    def find(self, request_id: str) -> ResponseEvent | RequestEvent | None:
        """Return an exchange: see ``find_exchange``."""
        return find_exchange(self.kafka, request_id, seconds=_SECONDS)

    def judgments(self, event: ResponseEvent) -> tuple[JudgmentEvent, ...]:
        """Return what judges said of an answer: see ``judgments_of``."""
        return judgments_of(self._read, event)
