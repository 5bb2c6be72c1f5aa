"""Whole conversations are judged once, after their end, and those that are not are counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.workers.judge.conftest import SEGMENT, ScriptedServer, response

from tidegauge.adapters.vllm import JudgeUnreachableError
from tidegauge.quality.judged_exchange import JudgedExchange, Score, SkipReason
from tidegauge.quality.whole_conversations import ConversationRule
from tidegauge.schemas import decode, encode, measures
from tidegauge.schemas.evaluations import JudgmentEvent
from tidegauge.schemas.exchange import Message, ResponseEvent
from tidegauge.schemas.sketches import JudgeCondition, Progress, RecordPlace, Sketch, SketchKind
from tidegauge.streaming.extractor import Measurement, Origin
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Output, Partition, Record
from tidegauge.streaming.sketching import SketchingProcessor
from tidegauge.workers.judge.conversation_extractor import ConversationExtractor
from tidegauge.workers.judge.extractor import JudgeLimits
from tidegauge.workers.judge.judge_files import read_golden_answers
from tidegauge.workers.judge.judge_pool import Question
from tidegauge.workers.judge.main import (
    make_conversation_extractor,
    make_extractor,
    make_judge_pool,
)
from tidegauge.workers.judge.settings import JudgeSettings

MINUTE = 60_000
PARTITION = Partition("responses.v1", 0)
LABEL = measures.judge_label("goal", "c" * 64)


class _Nothing:
    """Measures nothing of single answers."""

    kind: SketchKind = "quality"
    reads = ResponseEvent

    def measure(self, events: Sequence[tuple[Origin, ResponseEvent]]) -> Sequence[Measurement]:
        return [Measurement() for _ in events]

    def notices(self) -> tuple[str, ...]:
        return ()

    def conditions(self) -> tuple[JudgeCondition, ...]:
        return ()


@dataclass
class _Log:
    """A worker of one partition, its log and its judges.

    Attributes:
        result: What a judge replies; an error is raised.
        lost: Offsets that the log has deleted.
        slow: Whether the log has no time for any record.
        now_ms: The clock.
    """

    result: Score | SkipReason | Exception = field(default_factory=lambda: Score({"score": 0.25}))
    lost: set[int] = field(default_factory=set)
    slow: bool = False
    now_ms: int = 0
    records: list[Record] = field(default_factory=list)
    asked: list[Question] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.processor = self.made(None)

    def made(self, snapshot: bytes | None) -> SketchingProcessor[ResponseEvent]:
        extractor = ConversationExtractor(
            self,
            ConversationRule(salt="s", rate=1.0, idle_ms=30 * MINUTE, most_turns=4),
            specification_hashes={"goal": "c" * 64},
            exchanges=self.exchanges,
            limits=JudgeLimits(10, 900),
            now_ms=lambda: self.now_ms,
        )
        made = SketchingProcessor(_Nothing(), "judge", SketchSettings(), sessions=extractor)
        made.assign(PARTITION, snapshot)
        return made

    def exchanges(
        self, places: Iterable[RecordPlace]
    ) -> Mapping[RecordPlace, ResponseEvent | None]:
        return {
            place: None
            if place.offset in self.lost
            else decode(self.records[place.offset].value, ResponseEvent)
            for place in places
            if not self.slow
        }

    def ask(
        self, questions: Sequence[Question], *, deadline_seconds: float
    ) -> list[Score | SkipReason]:
        assert deadline_seconds == 10
        self.asked += questions
        if isinstance(self.result, Exception):
            raise self.result
        return [self.result for _ in questions]

    def applies(self, judge: str, exchange: JudgedExchange) -> bool:
        return judge == "goal" and exchange.unit == "conversation"

    def qualified(self, judge: str) -> bool:
        return judge == "goal"

    def append(self, *events: ResponseEvent) -> None:
        start = len(self.records)
        new = [
            Record(PARTITION, start + n, encode(event), timestamp_ms=event.time_ms)
            for n, event in enumerate(events)
        ]
        self.records += new
        self.now_ms = max(self.now_ms, *(event.time_ms for event in events))
        self.processor.process(new, self.now_ms)

    def quiet(self, minutes: int) -> list[Output]:
        """Let time pass without a record, a tick a minute; return what is published."""
        published: list[Output] = []
        for _ in range(minutes):
            self.now_ms += MINUTE
            self.processor.caught_up(PARTITION, self.now_ms)
            published += self.processor.tick(self.now_ms).outputs
        return published


def exchange(number: int, turn: int, *said: str, **changes: Any) -> ResponseEvent:  # noqa: ANN401 - any field
    roles = ("user", "assistant")
    fields: dict[str, Any] = {
        "time_ms": turn * MINUTE,
        "messages": tuple(Message(role=roles[n % 2], content=text) for n, text in enumerate(said)),
        "output": "Done.",
        "conversation_id": "thread",
        "turn": turn,
    }
    return response(number, **{**fields, **changes})


OPENING = exchange(1, 1, "A table, please.", output="When?")
FOLLOWUP = exchange(2, 2, "A table, please.", "When?", "At eight.")


def totals(published: Sequence[Output]) -> Mapping[str, int]:
    found = [each.event for each in published if isinstance(each.event, Progress)]
    return {
        name.removeprefix("conversations/"): count
        for name, count in found[-1].totals.items()
        if name.startswith("conversations/")
    }


def test_a_conversation_is_judged_once_after_its_end() -> None:
    log = _Log()
    log.append(OPENING, FOLLOWUP)
    assert not [each for each in log.quiet(20) if isinstance(each.event, JudgmentEvent)]
    published = log.quiet(40)
    (judgment,) = [each.event for each in published if isinstance(each.event, JudgmentEvent)]
    assert (judgment.judge, judgment.request_id, judgment.scores) == (
        "goal",
        "request-2",
        {"score": 0.25},
    )
    assert (judgment.inclusion_probability, judgment.conversation_id) == (1.0, "thread")
    assert judgment.unit == "conversation"
    (question,) = log.asked
    assert question.exchange.answer == "Done."
    assert [message.content for message in question.exchange.messages] == [
        "A table, please.",
        "When?",
        "At eight.",
    ]
    assert totals(published) == {"drawn": 1, "judged": 1}
    assert not [each for each in log.quiet(60) if isinstance(each.event, JudgmentEvent)]


def test_its_score_is_in_a_sketch_of_its_segment_and_adds_no_answer() -> None:
    log = _Log()
    log.append(OPENING, FOLLOWUP)
    sketches = [each.event for each in log.quiet(60) if isinstance(each.event, Sketch)]
    (scored,) = [each for each in sketches if each.moments]
    assert (scored.segment, scored.events) == (SEGMENT, 0)
    assert scored.moments[measures.score(LABEL, "score")].total == 0.25
    assert scored.trials[measures.censored(LABEL)] == 1
    assert measures.censored(LABEL) not in scored.hits
    (worst, *_) = scored.exemplars[measures.worst(LABEL, "score")]
    assert worst.source == RecordPlace("responses.v1", 0, 1)


def test_one_that_reaches_the_cap_is_judged_and_counted_as_censored() -> None:
    log = _Log()
    said = ["a", "b", "c", "d", "e", "f", "g"]
    log.append(*(exchange(turn, turn, *said[: 2 * turn - 1]) for turn in range(1, 5)))
    found = [
        each.event for each in log.quiet(5) if isinstance(each.event, Sketch) and each.event.moments
    ]
    assert found[0].hits[measures.censored(LABEL)] == 1


def test_open_conversations_survive_a_restart() -> None:
    log = _Log()
    log.append(OPENING, FOLLOWUP)
    log.processor = log.made(log.processor.snapshot(PARTITION))
    assert totals(log.quiet(60)) == {"drawn": 1, "judged": 1}


@pytest.mark.parametrize(
    ("events", "lost", "reason"),
    [
        ((OPENING, FOLLOWUP), {1}, "expired"),
        ((exchange(3, 3, "And wine."), exchange(4, 4, "And bread.")), set(), "no_beginning"),
        ((exchange(2, 2, capture="none", output=None),), set(), "not_captured"),
    ],
)
def test_one_that_cannot_be_judged_is_counted_with_its_reason(
    events: tuple[ResponseEvent, ...], lost: set[int], reason: str
) -> None:
    log = _Log(lost=lost)
    log.append(*events)
    assert totals(log.quiet(60)) == {"drawn": 1, reason: 1}
    assert not log.asked


def test_conversations_wait_for_a_judge_that_is_away_but_not_for_ever() -> None:
    log = _Log(result=SkipReason.UNREACHABLE)
    log.append(OPENING, FOLLOWUP)
    assert totals(log.quiet(35)) == {"drawn": 1}
    log.result = JudgeUnreachableError("the judges were told to give up")
    assert totals(log.quiet(1)) == {"drawn": 1}
    log.result = Score({"score": 1.0})
    assert totals(log.quiet(1)) == {"drawn": 1, "judged": 1}
    late = _Log(result=SkipReason.UNREACHABLE)
    late.append(OPENING, FOLLOWUP)
    assert totals(late.quiet(60)) == {"drawn": 1, "too_old": 1}


def test_a_log_that_is_too_slow_holds_conversations_up_but_not_for_ever() -> None:
    log = _Log(slow=True)
    log.append(OPENING, FOLLOWUP)
    assert totals(log.quiet(35)) == {"drawn": 1}
    assert totals(log.quiet(25)) == {"drawn": 1, "too_old": 1}


def test_a_judge_of_conversations_is_asked_about_no_answer(server: ScriptedServer) -> None:
    settings = JudgeSettings(url=server.url, judges="helpfulness,goal")
    pool = make_judge_pool(settings)
    assert make_conversation_extractor(settings, pool, lambda _: {}) is not None
    assert not pool.applies("goal", JudgedExchange(OPENING.messages, "When?"))
    assert not pool.applies(
        "helpfulness", JudgedExchange(OPENING.messages, "When?", unit="conversation")
    )
    alone = JudgeSettings(url=server.url, judges="goal", deadline_seconds=0.1)
    measured = make_extractor(alone, make_judge_pool(alone)).measure(
        [(Origin("judge/responses.v1-0", PARTITION, 0), OPENING)]
    )
    assert not measured[0].progress
    without = JudgeSettings(url=server.url, judges="helpfulness")
    assert make_conversation_extractor(without, make_judge_pool(without), lambda _: {}) is None


def test_golden_conversations_of_ones_own_are_read(tmp_path: Path) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_text('{"kind": "good", "question": "b", "answer": "c", "unit": "conversation"}')
    (golden,) = read_golden_answers(path)
    assert golden.exchange.unit == "conversation"
