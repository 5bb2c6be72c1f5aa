"""Judges conversations that have ended: reads them from the log, and scores each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import structlog

from tidegauge.adapters.vllm import JudgeUnreachableError
from tidegauge.quality.judged_exchange import JudgedExchange, Score, SkipReason
from tidegauge.quality.sampling import SamplingPlan
from tidegauge.quality.whole_conversations import (
    ConversationRule,
    EndedConversation,
    OpenConversations,
    assembled,
    is_whole,
)
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.errors import LogError
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import DecodeError, decode, measures
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.sketches import RecordPlace
from tidegauge.streaming.extractor import MeasuredSession, Origin
from tidegauge.streaming.processor import Record
from tidegauge.workers.judge.extractor import AskedJudges, JudgeLimits
from tidegauge.workers.judge.judge_pool import Question
from tidegauge.workers.judge.judgment import JudgeVerdict, measured

__all__ = ["ConversationExtractor", "Exchanges", "exchanges_in_log"]

_log = structlog.stdlib.get_logger(__name__)

Exchanges: TypeAlias = Callable[[Iterable[RecordPlace]], Mapping[RecordPlace, ResponseEvent | None]]
"""Returns the exchanges at places of the log: None for one that it does not hold any more, and
nothing for one that there was no time for."""

_READ_SECONDS: Final = 10.0
_AWAY: Final = (SkipReason.LATE, SkipReason.UNREACHABLE)
_PAUSE_MS: Final = 30_000
"""Time before judges that are away are asked again: asking them holds up the answers."""


class ConversationExtractor:
    """Measures conversations that have ended.

    A drawn conversation is either judged by at least one judge, or counted under the reason why
    it is not, so that the counts add up. While the judges are away, conversations wait: as long
    as an answer waits for its judge.

    Args:
        pool: The judges.
        rule: Which conversations are followed, and when they end.
        specification_hashes: Judge of conversations -> its specification's hash.
        exchanges: Reads exchanges from the log.
        limits: How long judging may take, and how long after its end a conversation may wait.
        now_ms: Wall clock, Unix milliseconds.
    """

    def __init__(  # noqa: PLR0913 - what it is put together from, by name
        self,
        pool: AskedJudges,
        rule: ConversationRule,
        *,
        specification_hashes: Mapping[str, str],
        exchanges: Exchanges,
        limits: JudgeLimits,
        now_ms: Callable[[], int],
    ) -> None:
        self._pool = pool
        self._rule = rule
        self._specification_hashes = specification_hashes
        self._exchanges = exchanges
        self._limits = limits
        self._now_ms = now_ms
        self._asks_again_ms = 0
        self._plan = SamplingPlan(period=0, salt=rule.salt, kappa=rule.rate, floor=rule.rate)

    def open(self, state: bytes) -> OpenConversations:
        """Return a partition's conversations, from their last state; empty for none."""
        return OpenConversations(self._rule, state)

    def measure(
        self, ended: Sequence[tuple[Origin, EndedConversation]]
    ) -> Sequence[MeasuredSession | Mapping[str, int]]:
        """Return what each conversation adds, or the reason why it is not judged."""
        if self._now_ms() < self._asks_again_ms:
            return ()
        try:
            found = self._read(ended)
            if found is None:
                return ()
            subjects = [
                self._subject(each, found[number]) for number, (_, each) in enumerate(ended)
            ]
            asked = [
                (number, Question(judge, subject[1]))
                for number, subject in enumerate(subjects)
                if not isinstance(subject, str)
                for judge in self._specification_hashes
                if self._pool.applies(judge, subject[1])
            ]
            results = self._pool.ask(
                [question for _, question in asked], deadline_seconds=self._limits.deadline_seconds
            )
        except (LogError, JudgeUnreachableError) as error:
            _log.info("conversations_wait", count=len(ended), detail=str(error))
            return ()
        if asked and all(result in _AWAY for result in results):
            self._asks_again_ms = self._now_ms() + _PAUSE_MS
            return ()
        scores: list[dict[str, Score | SkipReason]] = [{} for _ in ended]
        for (number, question), result in zip(asked, results, strict=True):
            scores[number][question.judge] = result
        return [
            _counted(subject)
            if isinstance(subject, str)
            else self._measured(origin, each, subject[0], scores[number])
            for number, ((origin, each), subject) in enumerate(zip(ended, subjects, strict=True))
        ]

    def _read(
        self, ended: Sequence[tuple[Origin, EndedConversation]]
    ) -> list[list[ResponseEvent] | None] | None:
        """Return the exchanges of each conversation, None for one of which the log has lost any.

        Without time for all of them, it returns nothing. Those that have waited too long are not
        read, so that a log that is too slow for them holds up others for no longer.
        """
        places = [
            [
                RecordPlace(origin.partition.topic, origin.partition.index, offset)
                for offset in (() if self._is_old(each) else each.offsets)
            ]
            for origin, each in ended
        ]
        wanted = {place for of_one in places for place in of_one}
        read = self._exchanges(wanted)
        if not read.keys() >= wanted:
            return None
        known = [[event for place in of_one if (event := read[place])] for of_one in places]
        return [
            events if len(events) == len(of_one) > 0 else None
            for events, of_one in zip(known, places, strict=True)
        ]

    def _subject(
        self, each: EndedConversation, exchanges: list[ResponseEvent] | None
    ) -> tuple[ResponseEvent, JudgedExchange] | str:
        if self._is_old(each):
            return SkipReason.TOO_OLD.value
        if exchanges is None:
            return "expired"
        event = assembled(exchanges)
        if event.capture == "none" or not event.messages:
            return SkipReason.NOT_CAPTURED.value
        if not is_whole(event):
            return "no_beginning"
        exchange = JudgedExchange(
            event.messages,
            event.output or "",
            event.tool_calls,
            cut=event.omitted_characters > 0,
            redacted=event.capture == "redacted",
            segment=event.segment,
            customer=event.customer,
            unit="conversation",
        )
        return event, exchange

    def _is_old(self, each: EndedConversation) -> bool:
        waited_ms = self._now_ms() - each.time_ms - self._rule.idle_ms
        return 0 < self._limits.max_age_seconds < waited_ms / 1000

    def _measured(
        self,
        origin: Origin,
        each: EndedConversation,
        event: ResponseEvent,
        scores: Mapping[str, Score | SkipReason],
    ) -> MeasuredSession | Mapping[str, int]:
        verdicts = tuple(
            JudgeVerdict(
                judge=judge,
                specification_hash=self._specification_hashes[judge],
                number=number,
                judges=len(self._specification_hashes),
                qualified=self._pool.qualified(judge),
                plan=self._plan,
                score=score,
                unit="conversation",
            )
            for number, judge in enumerate(self._specification_hashes, start=1)
            if isinstance(score := scores.get(judge), Score)
        )
        if not verdicts:
            reasons = [score.value for score in scores.values() if isinstance(score, SkipReason)]
            return _counted(reasons[0] if reasons else "not_asked")
        place = Origin(f"{origin.producer_id}/conversations", origin.partition, each.offsets[-1])
        found = measured(place, event, verdicts)
        labels = [measures.judge_label(v.judge, v.specification_hash) for v in verdicts]
        censored = tuple(map(measures.censored, labels))
        return MeasuredSession(
            event.segment,
            each.offsets[-1],
            replace(
                found,
                exemplar=None,
                trials=(*found.trials, *censored),
                hits=(*found.hits, *(censored if each.censored else ())),
                progress=_counted("judged"),
            ),
        )


def exchanges_in_log(settings: KafkaSettings) -> Exchanges:
    """Return a function that reads exchanges at places of the log."""

    def read(places: Iterable[RecordPlace]) -> Mapping[RecordPlace, ResponseEvent | None]:
        found = reader.read_at(settings, places, seconds=_READ_SECONDS)
        return {place: _decoded(record) for place, record in found.items()}

    return read


def _decoded(record: Record | None) -> ResponseEvent | None:
    try:
        return None if record is None else decode(record.value, ResponseEvent)
    except DecodeError:
        return None


def _counted(what: str) -> Mapping[str, int]:
    return {measures.conversations(what): 1}
