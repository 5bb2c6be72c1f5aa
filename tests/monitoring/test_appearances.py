"""A new system prompt or served model is told with the alarms that it coincides with."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from tests.monitoring.conftest import V1, Harness, Traffic, Writer

from tidegauge.monitoring.attribution import Appearances
from tidegauge.monitoring.monitor_processor import MonitorProcessor
from tidegauge.monitoring.rates import RatesBaseline, build_rates_baseline
from tidegauge.schemas import measures
from tidegauge.schemas.exchange import Message, ResponseEvent
from tidegauge.schemas.sketches import Sketch
from tidegauge.schemas.topics import SKETCHES
from tidegauge.streaming.processor import Partition
from tidegauge.vitals.marks import Marks

PROMPT = measures.made_with("system prompt")
MINUTE = 60_000


def window(start_ms: int, counts: Mapping[str, int]) -> Sketch:
    sketch = Writer("vitals").sketch(0, events=sum(counts.values()))
    return msgspec.structs.replace(sketch, window_start_ms=start_ms, totals={PROMPT: dict(counts)})


def test_what_comes_later_is_told_and_what_was_there_is_not() -> None:
    known = Appearances()
    known.notice([window(0, {"aaaa": 20})])
    known.notice([window(5 * MINUTE, {"aaaa": 15, "bbbb": 5})])
    known.notice([window(30 * MINUTE, {"aaaa": 39, "rare": 1, "other": 9})])
    known.notice([window(60 * MINUTE, {"aaaa": 10, "cccc": 10})])
    resumed = Appearances(known.state())
    (said,) = resumed.sentences(V1.model, 61 * MINUTE)
    assert "new system prompt (cccc) was first seen at 1970-01-01 01:00" in said
    assert resumed.sentences(V1.model, 50 * MINUTE) == ()
    assert resumed.sentences("another", 61 * MINUTE) == ()


def test_prompts_that_differ_in_each_request_are_no_news() -> None:
    known = Appearances()
    for number in range(60):
        known.notice([window(number * 15 * MINUTE, {f"{number:04}": 20})])
    assert known.sentences(V1.model, 59 * 15 * MINUTE) == ()
    assert len(known.state()) < 40


def response(system: str | None, **fields: object) -> ResponseEvent:
    asked = Message(role="user", content="High tide?")
    messages = (asked,) if system is None else (Message(role="system", content=system), asked)
    made = ResponseEvent(
        request_id="r",
        producer_id="p",
        sequence=1,
        time_ms=1,
        segment=V1,
        customer="c",
        status=200,
        latency_ms=1.0,
        messages=messages,
        served_model="base-sql-lora",
    )
    return msgspec.structs.replace(made, **fields)


def test_a_response_is_counted_by_its_prompts_hash_and_its_adapter() -> None:
    marks = Marks()
    first = marks.totals(response("You are a harbour master."))
    assert first[measures.made_with("served model")] == {"base-sql-lora": 1}
    (name,) = first[PROMPT]
    assert len(name) == 8
    assert marks.totals(response("You are a pilot."))[PROMPT].keys() != {name}
    assert marks.totals(response("You are a harbour master."))[PROMPT] == {name: 1}
    assert marks.totals(response(None))[PROMPT] == {"none": 1}
    assert PROMPT not in marks.totals(response("cut", omitted_characters=4))
    assert marks.totals(response("x", shadow=True)) == {}
    for number in range(40):
        last = marks.totals(response(f"You are number {number}."))
    assert last[PROMPT] == {"other": 1}


def test_a_response_is_counted_by_its_tags_and_a_new_one_appears() -> None:
    marks, known = Marks(), Appearances()
    version = measures.made_with("prompt version")
    tagged = marks.totals(response(None, tags={"prompt_version": "v12", "other": "x"}))
    assert tagged[version] == {"v12": 1}
    assert set(tagged) == {PROMPT, version, measures.made_with("served model")}
    for number in range(40):
        last = marks.totals(response(None, tags={"experiment": f"arm {number}"}))
    assert last[measures.made_with("experiment")] == {"other": 1}
    for number, value in enumerate(("v12", "v13")):
        sketch = window(number * 15 * MINUTE, {"aaaa": 20})
        known.notice([msgspec.structs.replace(sketch, totals={version: {value: 20}})])
    (said,) = known.sentences(V1.model, 16 * MINUTE)
    assert said.startswith("A new prompt version (v13) was first seen at")


def restarted(harness: Harness) -> MonitorProcessor:
    sketches = Partition(SKETCHES.name, 0)
    again = MonitorProcessor(harness.plan)
    again.assign(sketches, harness.monitor.snapshot(sketches))
    return again


def test_an_alarm_names_the_prompt_that_came_before_it_and_before_a_restart(
    traffic: Traffic, harness: Harness
) -> None:
    made = build_rates_baseline(traffic.baseline_windows())
    known = RatesBaseline.from_bytes(made.to_bytes(), "rates-1")
    harness.monitor.use("rates", "rates-1", known.references, harness.now_ms)
    writer = traffic.writers["vitals"]
    for number in range(370):
        if number == 342:
            harness.monitor = restarted(harness)
            harness.monitor.use("rates", "rates-1", known.references, harness.now_ms)
        changed = number >= 340
        sketch = msgspec.structs.replace(
            traffic.vitals(number, 12, slower=3.0 if changed else 1.0),
            totals={PROMPT: {"bbbb" if changed else "aaaa": 12}},
        )
        harness.now_ms = traffic.start_of(number + 1)
        harness.give(sketch, writer.progress(number + 1))
    alert = harness.alerts("latency.total")[0]
    assert any("new system prompt (bbbb)" in said for said in alert.verdict.coincidences)
