"""The bill from a real broker: work that was published twice is paid for once."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from tidegauge.cli import bill
from tidegauge.runtime.clock import now_ms
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.topics import UPSTREAMS
from tidegauge.schemas.upstream_events import (
    MINUTE_MS,
    UpstreamMinute,
    UpstreamWork,
    WorkAmounts,
    WorkRow,
)
from tidegauge.streaming.processor import Output

UPSTREAM = "10.9.8.7:8000"
HALF_A_MINUTE = (2**600 - 1).to_bytes(150, "little")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "models.yaml"
    file.write_text(
        f"models: {{m: {{upstreams: [{{url: 'http://{UPSTREAM}', gpu_usd_per_hour: 60}}]}}}}"
    )
    return file


def _publish(kafka: KafkaSettings, start_ms: int, copies: int) -> None:
    row = WorkRow("m/v1//", "=acme", "served", WorkAmounts(requests=2, prompt_tokens=100))
    minute = UpstreamMinute(UPSTREAM, start_ms, HALF_A_MINUTE, b"", (row,))
    work = UpstreamWork(
        producer_id=f"bill/{start_ms}", sequence=1, time_ms=start_ms, minutes=(minute,)
    )
    output = Output(UPSTREAMS, work.producer_id, work, work.producer_id, "1", start_ms)
    with Publisher(kafka) as publisher:
        publisher.publish([output] * copies)


def test_the_bill_adds_up(
    kafka: KafkaSettings, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    _publish(kafka, now_ms() // MINUTE_MS * MINUTE_MS - MINUTE_MS, copies=2)
    command = ["--from", "-10m", "--config", str(config)]
    (facts,) = msgspec.json.decode(CliRunner().invoke(bill.app, [*command, "--json"]).stdout)
    assert facts["usd"] == pytest.approx(10.0)
    assert facts["costs"]["customer"][0]["requests"] == 2
    assert facts["forecast"]["usd"] > 0
    assert facts["costs"]["customer"][0]["usd"] == pytest.approx(0.5)
    printed = CliRunner().invoke(bill.app, [*command, "--csv"]).stdout
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert sum(float(row["usd"] or 0) for row in rows) == pytest.approx(10.0)
    assert rows[0]["customer"] == "'=acme"
    compared = CliRunner().invoke(bill.app, [*command, "--against", "1h", "--json"]).stdout
    assert msgspec.json.decode(compared)[0]["changes"]["customer"][0]["before_usd"] == 0
    shown = CliRunner().invoke(bill.app, [*command, "--against", "1h"]).stdout
    assert "Before, " in shown
    assert UPSTREAM in shown
    assert "too few busy minutes" in shown
    assert CliRunner().invoke(bill.app, [*command, "--against", "30000d"]).exit_code == 0
    assert CliRunner().invoke(bill.app, [*command, "--by", "colour"]).exit_code == 2
