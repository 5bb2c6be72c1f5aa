"""The worker as a process of its own, on a real broker, against a scripted judge."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest
from tests.workers.judge.conftest import ScriptedServer

from tidegauge.quality.sampled_mean import of_sketch
from tidegauge.quality.sampling import draw
from tidegauge.runtime.brokers.process import free_port
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Segment, decode, measures
from tidegauge.schemas.evaluations import JudgmentEvent
from tidegauge.schemas.exchange import Message, ResponseEvent
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import JUDGMENTS, RESPONSES, SKETCHES
from tidegauge.streaming.merging import merge_all
from tidegauge.streaming.processor import Output

DEADLINE_SECONDS = 60.0
EVENTS = 200
RATE = 0.5
IDLE_SECONDS = 15


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {DEADLINE_SECONDS:.0f} s"
        time.sleep(0.1)


def response(segment: Segment, number: int, time_ms: int) -> ResponseEvent:
    text = "" if number % 10 == 0 else f"The answer to question {number} is a plain one."
    return ResponseEvent(
        request_id=f"{segment.model}-{number}",
        producer_id=segment.model,
        sequence=number,
        time_ms=time_ms,
        segment=segment,
        customer="acme",
        status=200,
        latency_ms=100.0,
        messages=(Message(role="user", content=f"What is the answer to question {number}?"),),
        output=text,
        output_characters=len(text),
    )


def conversation(segment: Segment, time_ms: int) -> list[ResponseEvent]:
    """Return two exchanges of a client that gives an id and sends no history."""
    return [
        msgspec.structs.replace(
            response(segment, turn, time_ms + turn),
            conversation_id=segment.model,
            turn=turn,
        )
        for turn in (1, 2)
    ]


def publish(kafka: KafkaSettings, events: list[ResponseEvent]) -> None:
    with Publisher(kafka) as publisher:
        publisher.publish(
            Output(RESPONSES, e.key, e, "test", e.request_id, e.time_ms) for e in events
        )


def sketches(kafka: KafkaSettings, segment: Segment) -> list[Sketch]:
    found: list[Sketch | Progress] = [
        decode(record.value, Sketch, Progress) for record in reader.read(kafka, SKETCHES)
    ]
    return [e for e in found if isinstance(e, Sketch) and e.segment == segment]


def judgments(kafka: KafkaSettings, segment: Segment) -> list[JudgmentEvent]:
    found = [decode(record.value, JudgmentEvent) for record in reader.read(kafka, JUDGMENTS)]
    return [each for each in found if each.segment == segment]


def judges(kafka: KafkaSettings, segment: Segment) -> set[str]:
    return {each.judge for each in judgments(kafka, segment)}


def totals(kafka: KafkaSettings) -> tuple[dict[str, int], set[str]]:
    """Add up what the worker says of each partition at last, and collect what it notices."""
    last: dict[str, Progress] = {}
    for record in reader.read(kafka, SKETCHES):
        event: Sketch | Progress = decode(record.value, Sketch, Progress)
        if isinstance(event, Progress) and event.kind == "quality":
            last[event.producer_id] = event
    added: dict[str, int] = {}
    for progress in last.values():
        for name, count in progress.totals.items():
            added[name] = added.get(name, 0) + count
    return added, {notice for progress in last.values() for notice in progress.notices}


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


@contextmanager
def worker(kafka: KafkaSettings, url: str) -> Iterator[subprocess.Popen[bytes]]:
    port = free_port()
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TIDEGAUGE_JUDGE_URL": url,
        "TIDEGAUGE_JUDGE_LIKELIHOOD_RATE": str(RATE),
        "TIDEGAUGE_JUDGE_RUBRIC_RATE": "0.1",
        "TIDEGAUGE_JUDGE_JUDGES": "likelihood,helpfulness,goal",
        "TIDEGAUGE_JUDGE_CONVERSATION_RATE": "1",
        "TIDEGAUGE_JUDGE_CONVERSATION_IDLE_MINUTES": str(IDLE_SECONDS / 60),
        "TIDEGAUGE_JUDGE_PORT": str(port),
        "TIDEGAUGE_WINDOW_SECONDS": "1",
        "TIDEGAUGE_LATENESS_SECONDS": "1",
    }
    command = [sys.executable, "-c", "from tidegauge.workers.judge.main import run; run()"]
    with subprocess.Popen(command, env=environment) as process:
        try:
            wait_for("ready worker", lambda: ready(port))
            yield process
        finally:
            process.kill()


@pytest.mark.timeout(300)
def test_responses_become_judgments_and_sketches(
    kafka: KafkaSettings, server: ScriptedServer
) -> None:
    segment = Segment(model=f"judged-{time.time_ns()}", version="v1", route="/chat")
    start = time.time_ns() // 1_000_000 // 1_000 * 1_000 - 30_000
    events = [response(segment, n, start + n * 100) for n in range(1, EVENTS + 1)]
    drawn = {e.request_id for e in events if draw("tidegauge", e.request_id) < RATE}
    expected = {e.request_id for e in events if e.request_id in drawn and e.output}
    talk = Segment(model=f"talk-{time.time_ns()}", version="v1", route="/chat")
    with worker(kafka, server.url) as process:
        publish(kafka, [*conversation(talk, start), *events[: EVENTS // 2]])
        wait_for("first judgments", lambda: bool(judgments(kafka, segment)))
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0, "a clean stop"
    with worker(kafka, server.url) as process:
        publish(kafka, events[EVENTS // 2 :])
        wait_for(
            "sketches of all responses",
            lambda: sum(s.events for s in sketches(kafka, segment)) >= EVENTS,
        )
        wait_for("a judged conversation", lambda: "goal" in judges(kafka, talk))
        server.hold.clear()  # a judge that answers no more holds up no stop
        publish(kafka, [response(segment, EVENTS + n, start + EVENTS * 100) for n in range(1, 40)])
        wait_for("a question that is held", lambda: server.open > 0)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0
        assert time.monotonic() - began < 10
    (whole_talk,) = [each for each in judgments(kafka, talk) if each.judge == "goal"]
    assert (whole_talk.request_id, whole_talk.unit) == (f"{talk.model}-2", "conversation")
    assert "goal" not in judges(kafka, segment), "it is asked about no single answer"
    found = judgments(kafka, segment)
    likelihood = [each for each in found if each.judge == "likelihood"]
    assert {each.request_id for each in likelihood} == expected
    assert len(likelihood) == len(expected), "each once, though the worker was replaced"
    assert {each.inclusion_probability for each in likelihood} == {RATE}
    assert {each.qualified for each in likelihood} == {True}
    assert {each.qualified for each in found if each.judge == "helpfulness"} == {False}
    whole = merge_all(sketches(kafka, segment))
    assert whole is not None
    assert whole.events == EVENTS
    label = measures.judge_label("likelihood", likelihood[0].specification_hash)
    mean = of_sketch(whole, label, "fluency")
    assert mean is not None
    scores = [each.scores["fluency"] for each in likelihood]
    assert mean.mean == pytest.approx(sum(scores) / len(scores))
    account, notices = totals(kafka)
    skipped = sum(count for name, count in account.items() if name.startswith("skipped/"))
    assert account["judged"] == account["sampled"] - skipped
    assert account["conversations/drawn"] == account["conversations/judged"] == 1
    assert account["skipped/empty"] >= len(drawn) - len(expected)
    assert {"unqualified:helpfulness", "qualified:likelihood:hot_sampler"} <= notices
