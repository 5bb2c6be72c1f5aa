"""What the outbox keeps of an exchange: no more text than allowed, and the checks in time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.capture.conftest import make_topics, records_of
from tests.gateway.conftest import Running, StartGateway, eventually
from tests.gateway.scripted import (
    Connection,
    Received,
    Script,
    ScriptedUpstream,
    chat_completion,
)

from tidegauge.capture.exchange_record import BOTH, AnswerRecord, ExchangeRecord, PendingChecks
from tidegauge.capture.outbox_reader import OutboxReader
from tidegauge.capture.runs import NOWHERE, list_runs
from tidegauge.capture.settings import CaptureSettings
from tidegauge.gateway.checking_shipper import expand_formats
from tidegauge.runtime.brokers import Broker, EmbeddedBroker
from tidegauge.schemas import decode
from tidegauge.schemas.exchange import Capture, ResponseEvent, Sampling

EXPAND = expand_formats(CaptureSettings())[BOTH.type]
QUESTION = "How do I reach the harbour, and who is ann@example.org?"
ANSWER = "You can reach it by bus, and it is you that I know as ann@example.org."


def record_of(running: Running) -> ExchangeRecord:
    """Return the only record in the outbox."""
    (run,) = list_runs(running.directory / "outbox")
    (entry,) = OutboxReader(run, NOWHERE.place, 0).read(1 << 30, over=False)
    records: Sequence[ExchangeRecord] = EXPAND.decode(entry.frame.value)
    (record,) = records
    return record


def on_disk(running: Running) -> bytes:
    files = (running.directory / "outbox").glob("*/*")
    return b"".join(file.read_bytes() for file in files)


def answering(text: str, **fields: object) -> Script:
    async def script(_request: Received, connection: Connection) -> None:
        await connection.answer(chat_completion(text, **fields))

    return script


async def test_whole_text_is_checked_by_the_shipper(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    upstream.script = answering(ANSWER, metrics={"queue_time_ms": 3.5})
    await gateway.chat(QUESTION)
    record = record_of(gateway)
    assert record.answer is not None
    assert record.answer.text == ANSWER
    assert isinstance(record.answer.checks, PendingChecks)
    assert gateway.asked[0].messages[0].content == QUESTION
    assert gateway.answered[0].checks == {
        "truncation": "passed",
        "empty": "passed",
        "refusal": "passed",
        "language": "passed",
    }
    assert (gateway.asked[0].sequence, gateway.answered[0].sequence) == (1, 2)
    assert gateway.answered[0].queue_ms == 3.5


@pytest.mark.parametrize("capture", ["full", "redacted"])
async def test_what_is_left_unchecked_is_counted_and_not_in_the_event(
    start_gateway: StartGateway, upstream: ScriptedUpstream, capture: Capture
) -> None:
    running = await start_gateway(
        {"served": {"upstreams": [{"url": upstream.url}]}}, capture_text=capture
    )
    upstream.script = answering("[]")
    form = {"name": "n", "schema": {"uniqueItems": True}}
    await running.chat(response_format={"type": "json_schema", "json_schema": form})
    checks = running.answered[0].checks
    assert "empty" in checks
    assert "json_schema" not in checks
    made = EXPAND.events(record_of(running), ["requests.v1", "responses.v1"], "p", 1)
    assert "json_schema/unchecked: uniqueItems" in made.facts


@pytest.mark.parametrize("capture", ["redacted", "none"])
async def test_text_that_may_not_be_captured_never_lies_on_the_disk(
    start_gateway: StartGateway, upstream: ScriptedUpstream, capture: Capture
) -> None:
    running = await start_gateway(
        {"served": {"upstreams": [{"url": upstream.url}]}}, capture_text=capture
    )
    upstream.script = answering(ANSWER)
    tool = {"name": "find", "description": "finds ann@example.org", "parameters": {}}
    schema = {"schema": {"description": "of ann@example.org"}}
    await running.chat(
        QUESTION,
        tools=[{"type": "function", "function": tool}],
        response_format={"type": "json_schema", "json_schema": schema},
    )
    assert b"example.org" not in on_disk(running)
    assert (b"harbour" in on_disk(running)) == (capture == "redacted")
    (answered,) = running.answered
    found = {"truncation", "empty", "refusal", "language", "json_schema"}
    assert answered.checks.keys() == found
    assert answered.output_characters == len(ANSWER)
    assert answered.output == (
        None if capture == "none" else ANSWER.replace("ann@example.org", "[email]")
    )


async def test_text_is_checked_before_it_is_cut_off(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    running = await start_gateway(
        {"served": {"upstreams": [{"url": upstream.url}]}}, capture_characters=20
    )
    upstream.script = answering(json.dumps({"answer": ANSWER}))
    await running.chat(QUESTION, response_format={"type": "json_object"})
    (answered,) = running.answered
    assert "characters left out" in (answered.output or "")
    assert answered.checks["json"] == "passed"


async def test_a_record_says_how_many_characters_were_cut_off(
    start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    running = await start_gateway(
        {"served": {"upstreams": [{"url": upstream.url}]}}, capture_characters=20
    )
    upstream.script = answering(ANSWER)
    await running.chat(QUESTION)
    record = record_of(running)
    assert record.answer is not None
    assert record.omitted_characters == len(QUESTION) - 20
    assert record.answer.omitted_characters == len(ANSWER) - 20
    (asked,), (answered,) = running.asked, running.answered
    assert asked.omitted_characters == answered.omitted_characters == len(QUESTION) - 20
    assert answered.omitted_output_characters == len(ANSWER) - 20
    assert (record.in_flight, record.turn, record.repeat_of) == (0, 1, None)


async def test_a_record_says_how_many_requests_were_in_flight_at_its_arrival(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    release = asyncio.Event()

    async def script(_request: Received, connection: Connection) -> None:
        await release.wait()
        await connection.answer(chat_completion())

    upstream.script = script
    first = asyncio.create_task(gateway.chat())
    await eventually(lambda: gateway.app.runtime.metrics.in_flight == 1)
    second = asyncio.create_task(gateway.chat())
    await eventually(lambda: gateway.app.runtime.metrics.in_flight == 2)
    release.set()
    await asyncio.gather(first, second)
    (run,) = list_runs(gateway.directory / "outbox")
    entries = OutboxReader(run, NOWHERE.place, 0).read(1 << 30, over=False)
    records = [record for entry in entries for record in EXPAND.decode(entry.frame.value)]
    loads = {record.request_id: record.in_flight for record in records}
    assert sorted(load for load in loads.values() if load is not None) == [0, 1]


async def test_a_request_that_waits_is_recorded_before_its_answer(
    gateway: Running, upstream: ScriptedUpstream
) -> None:
    release = asyncio.Event()

    async def script(_request: Received, connection: Connection) -> None:
        await release.wait()
        await connection.answer(chat_completion())

    upstream.script = script
    answer = asyncio.create_task(gateway.chat())
    await eventually(lambda: gateway.asked)
    assert gateway.answered == []
    release.set()
    await answer
    (asked,), (answered,) = gateway.asked, gateway.answered
    assert (asked.sequence, answered.sequence) == (1, 2)
    assert asked.messages == answered.messages
    assert asked.request_id == answered.request_id
    counts = gateway.recorder.counts()
    assert counts.captured == {"requests.v1": 1, "responses.v1": 1}


async def test_an_exchange_of_which_no_record_can_be_made_is_counted_and_answered(
    gateway: Running, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.script = answering(ANSWER)

    def fails_on_the_first(*values: Any) -> AnswerRecord:  # noqa: ANN401 - its fields
        if ANSWER in values and not seen:
            seen.append(ANSWER)
            raise RecursionError
        return AnswerRecord(*values)

    seen: list[str] = []
    monkeypatch.setattr("tidegauge.gateway.exchange_state.AnswerRecord", fails_on_the_first)
    answers = await asyncio.gather(*(gateway.chat(QUESTION) for _ in range(3)))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len(gateway.answered) == len(gateway.asked) == 2
    counts = gateway.recorder.counts()
    assert counts.served == 3
    assert counts.dropped == {
        "requests.v1": {"invalid_event": 1},
        "responses.v1": {"invalid_event": 1},
    }
    assert len(gateway.log()) == 3


async def test_an_answer_leaves_though_its_line_cannot_be_logged(
    gateway: Running, upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_line: object) -> None:
        raise OSError

    upstream.script = answering(ANSWER)
    monkeypatch.setattr(gateway.app.runtime.request_log, "write", fails)
    assert (await gateway.chat(QUESTION)).status_code == 200
    assert len(gateway.answered) == 1


def test_a_record_without_an_answer_makes_no_response() -> None:
    record = ExchangeRecord(
        request_id="req-1",
        time_ms=0,
        route="/v1/embeddings",
        model="m",
        version="v1",
        segment_customer="",
        customer="acme",
        capture="none",
        messages=(),
        prompt_characters=0,
        sampling=Sampling(),
        stream=False,
        shadow=False,
        session=None,
        trace_id=None,
        answer=None,
    )
    with pytest.raises(ValueError, match="without an answer"):
        EXPAND.events(record, ("requests.v1", "responses.v1"), "gateway-1", 1)


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A broker; a test asks for it first, so that it outlives what ships to it."""
    with EmbeddedBroker() as started:
        make_topics(started)
        yield started


@pytest.mark.integration
async def test_the_shipper_makes_the_events_and_counts_what_the_checks_found(
    broker: Broker, start_gateway: StartGateway, upstream: ScriptedUpstream
) -> None:
    running = await start_gateway(
        {"served": {"upstreams": [{"url": upstream.url}]}},
        bootstrap_servers=broker.bootstrap_servers,
    )
    upstream.script = answering(ANSWER)
    await running.chat(QUESTION)
    line = 'tidegauge_gateway_output_checks_total{check="language",outcome="passed"} 1.0'
    async with asyncio.timeout(30):
        while line not in (await running.admin.get("/metrics")).text:  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.1)
    producer_id = running.recorder.producer_id
    (record,) = await asyncio.to_thread(records_of, broker, "responses.v1", producer_id)
    event = decode(record.value, ResponseEvent)
    assert (event.output, event.request_id) == (ANSWER, record.key.decode())
