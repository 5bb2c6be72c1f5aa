"""``tidegauge report`` as a person runs it, on a real broker with the real Evidently."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path

from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Segment
from tidegauge.schemas.evaluations import EmbeddingEvent
from tidegauge.schemas.exchange import Message, ResponseEvent
from tidegauge.schemas.topics import EMBEDDINGS, RESPONSES
from tidegauge.streaming.processor import Output

SECRET_TEXT = "a sentence that belongs to nobody else"  # noqa: S105 - a prompt
MINUTE = 60_000


def exchanges(now_ms: int) -> list[Output]:
    run, segment = uuid.uuid4().hex, Segment(model="chat", version="v1", route="/chat")
    outputs = []
    for number in range(80):
        time_ms = now_ms - (8 if number < 50 else 2) * MINUTE + number
        response = ResponseEvent(
            request_id=f"{run}-{number}",
            producer_id=f"gateway-{run}",
            sequence=number + 1,
            time_ms=time_ms,
            segment=segment,
            customer="acme",
            status=200,
            latency_ms=100.0 + 7 * number,
            messages=(Message(role="user", content=SECRET_TEXT),),
            output=SECRET_TEXT,
            output_characters=10 + number,
            prompt_characters=len(SECRET_TEXT),
        )
        embedding = EmbeddingEvent(
            request_id=response.request_id,
            producer_id=f"drift-{run}",
            sequence=number + 1,
            time_ms=time_ms,
            segment=segment,
            baseline="none",
            embedder="none",
            cluster=number % 3,
            novelty=number / 100,
        )
        outputs += [
            Output(RESPONSES, response.request_id, response, "test", f"{run}-{number}", time_ms),
            Output(EMBEDDINGS, response.request_id, embedding, "test", f"{run}-e{number}", time_ms),
        ]
    return outputs


def report(kafka: KafkaSettings, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidegauge.cli.main", "report", *arguments],
        env={**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def test_two_ranges_become_one_file_without_a_word_of_their_prompts(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    with Publisher(kafka) as publisher:
        publisher.publish(exchanges(time.time_ns() // 1_000_000))
    out = tmp_path / "report.html"
    ranges = ("--reference-from", "-10m", "--reference-to", "-5m", "--from", "-5m")
    done = report(kafka, *ranges, "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)
    assert told["bytes"] == out.stat().st_size
    # Other tests may have left exchanges of these minutes on the same broker.
    before, after = map(int, re.findall(r"of (\d+) exchanges", " ".join(told["facts"])))
    assert before >= 50
    assert after >= 30
    page = out.read_text()
    assert SECRET_TEXT not in page
    for column in ("latency, ms", "output characters", "topic", "novelty"):
        assert column in page


def test_a_range_without_exchanges_says_so_and_writes_nothing(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    out = tmp_path / "report.html"
    done = report(kafka, "--from", "2001-01-01", "--to", "2001-01-02", "--out", str(out))
    assert done.returncode == 2
    assert "nothing to compare" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()
