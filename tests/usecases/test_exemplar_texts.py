from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest

from tidegauge.monitoring.exemplars import exemplars_of
from tidegauge.quality.context import GUESS
from tidegauge.runtime.kafka.errors import LogError
from tidegauge.schemas import Segment, encode
from tidegauge.schemas.evaluations import Remark
from tidegauge.schemas.exchange import Message, ResponseEvent
from tidegauge.schemas.findings import Alert, Effect, JudgedAnswers, State, Verdict
from tidegauge.schemas.sketches import Exemplar, RecordPlace
from tidegauge.streaming.processor import Partition, Record
from tidegauge.usecases.exemplar_texts import ExemplarTexts

SEGMENT = Segment(model="m")
JUDGE = "groundedness@1"


class Log:
    """Records by place, and remarks."""

    def __init__(self, *records: Record, remarks: Iterable[Record] = ()) -> None:
        self.records = list(records)
        self.said = list(remarks)
        self.asked: list[RecordPlace] = []
        self.broken = False

    def at(
        self, places: Iterable[RecordPlace], *, seconds: float
    ) -> Mapping[RecordPlace, Record | None]:
        assert seconds > 0
        wanted = list(places)
        self.asked += wanted
        if self.broken:
            raise LogError("no broker answers")
        held = {place(record.offset): record for record in self.records}
        return {each: held.get(each) for each in wanted}

    def remarks(self, start_ms: int) -> Iterable[Record]:
        return [record for record in self.said if record.timestamp_ms >= start_ms]


def place(offset: int) -> RecordPlace:
    return RecordPlace("responses.v1", 0, offset)


def record(offset: int, value: bytes) -> Record:
    return Record(Partition("responses.v1", 0), offset, value, timestamp_ms=1_000)


def answered(offset: int, **fields: Any) -> Record:  # noqa: ANN401 - fields of the event
    event = ResponseEvent(
        request_id=f"r{offset}",
        producer_id="g",
        sequence=offset + 1,
        time_ms=1_000,
        segment=SEGMENT,
        customer="acme",
        status=200,
        latency_ms=1.0,
        messages=(Message(role="user", content="<context>It is 5 m.</context> How tall?"),),
        output="It is 9 m.",
    )
    return record(offset, encode(msgspec.structs.replace(event, **fields)))


def named(offset: int) -> Exemplar:
    return Exemplar(
        request_id=f"r{offset}", rank=0.1, text="", customer="acme", source=place(offset)
    )


def alert(*exemplars: Exemplar, judged: Iterable[Exemplar] = ()) -> Alert:
    effect = Effect(
        indicator="i",
        title="i",
        baseline_rate=0.1,
        low=0.0,
        high=0.2,
        hits=1,
        trials=2,
        rate_low=0.1,
        rate_high=0.9,
        share=1.0,
        exemplars=exemplars,
    )
    evidence = JudgedAnswers(
        version="v2", current=True, judge=JUDGE, score="score", worst=tuple(judged)
    )
    verdict = Verdict(
        monitor="errors.rate",
        signal="errors",
        segment=SEGMENT,
        time_ms=1,
        state=State.WARN,
        sentence="…",
        effects=(effect,),
        evidence=(evidence,),
    )
    return Alert(
        alert_id="a",
        monitor="errors.rate",
        signal="errors",
        segment=SEGMENT,
        severity="warn",
        status="firing",
        starts_ms=1,
        time_ms=1,
        summary="…",
        verdict=verdict,
    )


def filled(log: Log, found: Alert) -> list[Exemplar]:
    (alert_,) = ExemplarTexts(log, GUESS).alerts([found])
    return list(exemplars_of(alert_.verdict))


def test_what_the_log_holds_is_shown_and_what_it_lacks_has_expired() -> None:
    log = Log(answered(1), answered(2, messages=(), output=None, capture="none"))
    held, bare, gone = filled(log, alert(named(1), named(2), named(3)))
    assert (held.text_state, held.text) == ("shown", "How tall?")
    assert (bare.text_state, bare.text) == ("not_captured", "")
    assert (gone.text_state, gone.text) == ("expired", "")


def test_judged_answers_come_with_context_answer_and_the_judges_reason() -> None:
    remark = Remark(request_id="r1", time_ms=1_000, author=JUDGE, text="The context says 5.")
    other = msgspec.structs.replace(remark, author="helpfulness@2", text="Well put.")
    log = Log(answered(1), remarks=[record(0, encode(remark)), record(1, encode(other))])
    (judged,) = filled(log, alert(judged=[named(1)]))
    assert (judged.text, judged.context, judged.answer, judged.reason) == (
        "How tall?",
        "It is 5 m.",
        "It is 9 m.",
        "The context says 5.",
    )


def test_another_request_at_the_place_is_never_shown() -> None:
    for other in (answered(1, request_id="another"), record(1, b"{")):
        (found,) = filled(Log(other), alert(named(1)))
        assert (found.text_state, found.text) == ("expired", "")


def test_an_alert_without_places_is_left_as_it_is() -> None:
    log = Log()
    found = alert(msgspec.structs.replace(named(1), source=None))
    assert ExemplarTexts(log, GUESS).alerts([found]) == (found,)
    assert log.asked == []


def test_texts_are_remembered_for_a_minute_and_no_longer() -> None:
    now = 0.0
    log = Log(answered(1))
    texts = ExemplarTexts(log, GUESS, lambda: now)
    found = alert(named(1))
    texts.alerts([found])
    now = 59.0
    texts.alerts([found])
    assert len(log.asked) == 1
    log.records.clear()
    now = 61.0
    (shown,) = texts.alerts([found])
    assert next(exemplars_of(shown.verdict)).text_state == "expired"
    assert texts._known
    now = 122.0
    texts.forget()
    assert not texts._known


def test_a_log_that_does_not_answer_holds_no_page_up_twice() -> None:
    log = Log(answered(1))
    log.broken = True
    now = 0.0
    texts = ExemplarTexts(log, GUESS, lambda: now)
    found = alert(named(1))
    first = texts.alerts([found])
    now = 9.0
    for (unread,) in (first, texts.alerts([found])):
        assert next(exemplars_of(unread.verdict)).text_state == "unread"
    assert len(log.asked) == 1
    log.broken, now = False, 11.0
    (shown,) = texts.alerts([found])
    assert next(exemplars_of(shown.verdict)).text == "How tall?"


@pytest.mark.parametrize("number", [700])
def test_a_page_waits_for_some_hundred_texts_at_most(number: int) -> None:
    log = Log(*(answered(offset) for offset in range(number)))
    found = filled(log, alert(*map(named, range(number))))
    assert 0 < sum(each.text_state == "shown" for each in found) < number
    assert {each.text_state for each in found} == {"shown", "unread"}
