"""The worker as a process of its own, on a real broker."""

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

import pytest

from tidegauge.monitoring.errors import RatesBaselineError
from tidegauge.monitoring.rates import RatesBaseline
from tidegauge.runtime.brokers.process import free_port
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Segment, decode, measures
from tidegauge.schemas.exchange import ErrorKind, ResponseEvent, Usage
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import RESPONSES, SKETCHES
from tidegauge.streaming import histogram
from tidegauge.streaming.merging import merge_all
from tidegauge.streaming.processor import Output
from tidegauge.usecases.build_baseline import build_rates, publish_baseline
from tidegauge.usecases.stretch import Stretch

DEADLINE_SECONDS = 60.0
EVENTS = 120


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {DEADLINE_SECONDS:.0f} s"
        time.sleep(0.1)


def response(segment: Segment, producer: str, number: int, time_ms: int) -> ResponseEvent:
    failed = number % 20 == 0
    return ResponseEvent(
        request_id=f"{producer}-{number}",
        producer_id=producer,
        sequence=number,
        time_ms=time_ms,
        segment=segment,
        customer=f"customer-{number % 2}",
        status=502 if failed else 200,
        error=ErrorKind.UPSTREAM_ERROR if failed else None,
        latency_ms=100.0 + number,
        usage=Usage(input_tokens=10, output_tokens=20),
        cost_usd=0.001,
    )


def publish(kafka: KafkaSettings, events: list[ResponseEvent]) -> None:
    with Publisher(kafka) as publisher:
        publisher.publish(
            Output(RESPONSES, e.request_id, e, "test", e.request_id, e.time_ms) for e in events
        )


def written(kafka: KafkaSettings, segment: Segment) -> list[Sketch]:
    events: list[Sketch | Progress] = [
        decode(record.value, Sketch, Progress) for record in reader.read(kafka, SKETCHES)
    ]
    return [e for e in events if isinstance(e, Sketch) and e.segment == segment]


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


@contextmanager
def worker(kafka: KafkaSettings) -> Iterator[subprocess.Popen[bytes]]:
    port = free_port()
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TIDEGAUGE_VITALS_PORT": str(port),
        "TIDEGAUGE_WINDOW_SECONDS": "1",
        "TIDEGAUGE_LATENESS_SECONDS": "1",
    }
    command = [sys.executable, "-c", "from tidegauge.workers.vitals.main import run; run()"]
    with subprocess.Popen(command, env=environment) as process:
        try:
            wait_for("ready worker", lambda: ready(port))
            yield process
        finally:
            process.kill()


@pytest.mark.timeout(300)
def test_responses_become_sketches_and_a_baseline(kafka: KafkaSettings) -> None:
    segment = Segment(model=f"vitals-{time.time_ns()}", version="v1", route="/chat")
    producer = segment.model
    start = time.time_ns() // 1_000_000 // 1_000 * 1_000 - 30_000
    events = [response(segment, producer, n, start + n * 100) for n in range(1, EVENTS + 1)]
    with worker(kafka) as process:
        publish(kafka, events[: EVENTS // 2])
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0, "a clean stop"
    with worker(kafka) as process:
        publish(kafka, [*events[10:20], *events[EVENTS // 2 :]])
        wait_for(
            "sketches of all responses",
            lambda: sum(s.events for s in written(kafka, segment)) >= EVENTS,
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0
    whole = merge_all(written(kafka, segment))
    assert whole is not None
    assert whole.events == EVENTS, "each once, though ten came twice and the worker was replaced"
    assert whole.hits[measures.ERROR] == EVENTS // 20
    assert histogram.count(whole.histograms[measures.LATENCY_MS]) == EVENTS - EVENTS // 20
    assert whole.totals[measures.COST_NANOUSD_BY_CUSTOMER] == {
        "customer-0": EVENTS // 2 * 1_000_000,
        "customer-1": EVENTS // 2 * 1_000_000,
    }
    read: list[int] = []
    baseline_id = publish_baseline(
        kafka, build_rates(kafka, Stretch(start, start + 60_000), progress=read.append)
    )
    document = RatesBaseline.from_bytes(BaselineStore(kafka).load(baseline_id), baseline_id)
    reference = document.references["errors.rate"][segment.key]
    assert (reference.hits[0], reference.trials[0]) == (EVENTS // 20, EVENTS)
    assert reference.baseline == baseline_id
    assert read[-1] >= len(written(kafka, segment))


def test_an_empty_stretch_makes_no_baseline(kafka: KafkaSettings) -> None:
    with pytest.raises(RatesBaselineError, match=r"ends .* before it starts"):
        build_rates(kafka, Stretch(2_000, 1_000))
    with pytest.raises(RatesBaselineError, match="no responses"):
        build_rates(kafka, Stretch(1_000, 2_000))
