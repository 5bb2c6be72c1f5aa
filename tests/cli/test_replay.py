from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tidegauge.cli.replay import app
from tidegauge.monitoring.plan import MonitorPlan
from tidegauge.monitoring.rates import FINGERPRINT, build_rates_baseline
from tidegauge.monitoring.rerun import EventPosition, EventReplay
from tidegauge.runtime.brokers import EmbeddedBroker
from tidegauge.runtime.kafka.admin import ensure_topics
from tidegauge.runtime.kafka.baselines import BaselineStore
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Segment, decode, encode
from tidegauge.schemas.exchange import ResponseEvent
from tidegauge.schemas.sketches import Progress, Sketch
from tidegauge.schemas.topics import RESPONSES
from tidegauge.streaming.partitions import SketchSettings
from tidegauge.streaming.processor import Output, Partition, Record
from tidegauge.usecases.errors import ReplayError
from tidegauge.usecases.replay import NO_BASELINE, ReplayProgress, replay
from tidegauge.usecases.replay_folder import ReplayFolder
from tidegauge.vitals.extractor import VitalsExtractor

RUNNER = CliRunner()
COUNT = 300
SEGMENT = Segment(model="m", version="v1", route="/chat")
SETTINGS = SketchSettings(window_ms=2_000, lateness_ms=1_000, idle_ms=2_000, progress_ms=2_000)
PLAN = MonitorPlan(window_ms=2_000)

pytestmark = pytest.mark.integration


@pytest.fixture
def own_kafka(monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaSettings]:
    if lack := EmbeddedBroker.missing():
        pytest.skip(lack)
    with EmbeddedBroker() as broker:
        settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        ensure_topics(settings)
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
        monkeypatch.setenv("TIDEGAUGE_WINDOW_SECONDS", "2")
        monkeypatch.setenv("TIDEGAUGE_LATENESS_SECONDS", "1")
        yield settings


def responses(start_ms: int, slower: float) -> list[ResponseEvent]:
    rng = np.random.default_rng(2)
    return [
        ResponseEvent(
            request_id=f"r{number}",
            producer_id="g1",
            sequence=number + 1,
            time_ms=start_ms + number * 100,
            segment=SEGMENT,
            customer="acme",
            status=200,
            latency_ms=float(latency) * (slower if number >= COUNT // 2 else 1),
        )
        for number, latency in enumerate(rng.lognormal(6.5, 0.4, COUNT))
    ]


def store_baseline(kafka: KafkaSettings, slower: float) -> str:
    """Count a baseline from responses of which the second half is slower."""
    records = [
        Record(Partition(RESPONSES.name, 0), n, encode(e), timestamp_ms=e.time_ms)
        for n, e in enumerate(responses(1_700_000_000_000, slower))
    ]
    events: list[Sketch | Progress] = [
        decode(r.value, Sketch, Progress)
        for part in EventReplay(VitalsExtractor(), "test", SETTINGS).sketch(records)
        for r in part
    ]
    document = build_rates_baseline(e for e in events if isinstance(e, Sketch))
    store = BaselineStore(kafka)
    return store.publish("rates", document.to_bytes(), FINGERPRINT, document.summary())


def test_the_past_is_judged_again(own_kafka: KafkaSettings, tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    with Publisher(own_kafka) as publisher:
        publisher.publish(
            Output(RESPONSES, e.request_id, e, "test", e.request_id, e.time_ms)
            for e in responses(now - 60_000, 3.0)
        )
    normal, slow = store_baseline(own_kafka, 1.0), store_baseline(own_kafka, 8.0)
    first, second, other = (tmp_path / name for name in ("a.jsonl", "b.jsonl", "c.jsonl"))
    arguments = ["--from", str(now - 3_600_000), "--measure", "vitals"]

    def run(out: Path, rates: str) -> dict[str, list[dict[str, str]]]:
        result = RUNNER.invoke(app, [*arguments, "--out", str(out), "--rates", rates, "--json"])
        assert result.exit_code == 0, result.output
        facts: list[dict[str, list[dict[str, str]]]] = json.loads(result.stdout)
        return facts[0]

    found = run(first, normal)
    assert {alert["monitor"] for alert in found["alerts"]} == {"latency.total"}
    assert run(second, normal)["alerts"] == found["alerts"]
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes().splitlines()) > 20
    assert run(other, slow)["alerts"] == []
    assert not list(tmp_path.glob("*.part*"))
    made = first.parent / "made" / "verdicts.jsonl"
    shown = RUNNER.invoke(app, [*arguments, "--out", str(made), "--rates", normal])
    assert made.exists()
    assert "latency.total warn firing" in shown.stdout


def judge_again(
    kafka: KafkaSettings, out: Path, stretch: tuple[str, str], rates: str, *, kill_at: str = ""
) -> None:
    """Judge the past again, and kill this process at the first saved position of a step."""

    def progress(now: ReplayProgress) -> None:
        if now.step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    replay(
        kafka,
        PLAN,
        stretch,
        now_ms=0,
        baselines={"rates": rates, "drift": NO_BASELINE},
        measure=["vitals"],
        out=out,
        progress=progress,
        save_seconds=0,
    )


def test_a_killed_replay_is_gone_on_with(
    own_kafka: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns() // 1_000_000
    with Publisher(own_kafka) as publisher:
        publisher.publish(
            Output(RESPONSES, e.request_id, e, "test", e.request_id, e.time_ms)
            for e in responses(now - 60_000, 3.0)
        )
    rates = store_baseline(own_kafka, 1.0)
    stretch = (str(now - 3_600_000), str(now + 3_600_000))
    whole, killed = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    judge_again(own_kafka, whole, stretch, rates)
    spawn = multiprocessing.get_context("spawn")
    for step in ("measuring vitals", "testing"):
        process = spawn.Process(
            target=judge_again, args=(own_kafka, killed, stretch, rates), kwargs={"kill_at": step}
        )
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        assert not killed.exists()
    folder = ReplayFolder(killed)
    assert folder.step("vitals", EventPosition).done

    with pytest.raises(ReplayError, match=r"killed\.jsonl\.part holds a replay .* other options"):
        judge_again(own_kafka, killed, (stretch[0], "now"), rates)
    with (folder.path / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ReplayError, match="another process is at work"):
            judge_again(own_kafka, killed, stretch, rates)

    monkeypatch.setattr(VitalsExtractor, "measure", None)  # what was measured is not measured again
    judge_again(own_kafka, killed, stretch, rates)
    assert killed.read_bytes() == whole.read_bytes()
    assert len(whole.read_bytes().splitlines()) > 20
    assert not folder.path.exists()


def test_an_empty_stretch_is_refused(own_kafka: KafkaSettings, tmp_path: Path) -> None:
    assert own_kafka.bootstrap_servers
    out = tmp_path / "out.jsonl"
    result = RUNNER.invoke(app, ["--from", "now", "--to", "-1h", "--out", str(out)])
    assert isinstance(result.exception, ReplayError)
    assert "its start must lie before its end" in str(result.exception)
    assert not out.exists()


def test_drift_needs_a_baseline(own_kafka: KafkaSettings, tmp_path: Path) -> None:
    assert own_kafka.bootstrap_servers
    out = tmp_path / "out.jsonl"
    result = RUNNER.invoke(app, ["--from", "-1h", "--measure", "drift", "--out", str(out)])
    assert isinstance(result.exception, ReplayError)
    assert "--drift" in str(result.exception)
    assert list(tmp_path.iterdir()) == []
