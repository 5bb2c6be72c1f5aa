from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from tidegauge.cli.ledger import app
from tidegauge.runtime.brokers import EmbeddedBroker
from tidegauge.runtime.kafka.admin import ensure_topics
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Event, Topic
from tidegauge.schemas.exchange import Heartbeat
from tidegauge.schemas.sketches import Progress, SketchKind, Tally
from tidegauge.schemas.topics import HEARTBEATS, REQUESTS, RESPONSES, SKETCHES
from tidegauge.streaming.processor import Output

RUNNER = CliRunner()
PARTITIONS = 4

pytestmark = pytest.mark.integration


@pytest.fixture
def own_kafka(monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaSettings]:
    """A broker of its own: the ledger speaks of everything in the log."""
    if lack := EmbeddedBroker.missing():
        pytest.skip(lack)
    with EmbeddedBroker() as broker:
        settings = KafkaSettings(bootstrap_servers=broker.bootstrap_servers)
        ensure_topics(settings)
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
        monkeypatch.setenv("COLUMNS", "80")
        yield settings


def publish(kafka: KafkaSettings, topic: Topic, *events: Event) -> None:
    with Publisher(kafka) as publisher:
        publisher.publish(Output(topic, "key", event, "test", "id", 0) for event in events)


def heartbeat(time_ms: int, count: int) -> Heartbeat:
    counts = {REQUESTS.name: count, RESPONSES.name: count}
    return Heartbeat(
        producer_id="g1\x1b[31m",
        time_ms=time_ms,
        served=count,
        captured=counts,
        dropped={},
        shipped=counts,
        final=True,
    )


def progress(kind: SketchKind, time_ms: int, processed: int) -> list[Progress]:
    """Each partition's; the first has counted everything."""
    topic = REQUESTS.name if kind == "drift" else RESPONSES.name
    return [
        Progress(
            kind=kind,
            producer_id=f"{kind}/{topic}-{index}",
            sequence=1,
            time_ms=time_ms,
            topic=topic,
            partition=index,
            next_offset=0,
            watermark_ms=time_ms,
            tallies={"g1\x1b[31m": Tally(processed=processed)} if index == 0 else {},
            totals={"sampled": processed, "judged": processed} if kind == "quality" else {},
        )
        for index in range(PARTITIONS)
    ]


def test_the_account_is_read_off_the_log(own_kafka: KafkaSettings) -> None:
    now = time.time_ns() // 1_000_000
    publish(own_kafka, HEARTBEATS, heartbeat(now - 300_000, 10))
    publish(
        own_kafka,
        SKETCHES,
        *progress("drift", now, 10),
        *progress("vitals", now, 10),
        *progress("quality", now, 4),
    )
    result = RUNNER.invoke(app, ["--json"])
    (facts,) = json.loads(result.stdout)
    assert result.exit_code == 1
    assert not facts["balanced"]
    missing = {line["kind"]: line["missing"] for line in facts["deliveries"]}
    assert missing == {"drift": 0, "vitals": 0, "quality": 6}
    shown = RUNNER.invoke(app, [])
    assert shown.exit_code == 1
    assert "does NOT balance" in shown.stdout
    assert "\x1b[31m" not in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    said = " ".join(shown.stdout.split())
    assert "responses.v1 to quality: 10 captured, 4 processed, 0 dead letters" in said
    publish(own_kafka, SKETCHES, *progress("quality", now + 1, 10))
    result = RUNNER.invoke(app, [])
    assert result.exit_code == 0, result.stdout
    assert "nothing is on its way" in result.stdout


def test_an_empty_log_balances_and_says_that_it_is_empty(own_kafka: KafkaSettings) -> None:
    shown = RUNNER.invoke(app, ["--since", "1h"])
    assert "Nothing is captured: no gateway has reported in the last 1h." in shown.stdout
    result = RUNNER.invoke(app, ["--json", "--since", "1h"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)[0]["settled"] is True
    assert own_kafka.bootstrap_servers
