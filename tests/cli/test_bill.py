"""``tidegauge bill`` out of a real log: every line adds up to what an invoice would say."""

from __future__ import annotations

import csv
import io
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.usecases.log import put
from typer.testing import CliRunner

from tidegauge.cli.bill import app
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas.topics import UPSTREAMS
from tidegauge.schemas.upstream_events import (
    MINUTE_MS,
    CostLine,
    GpuReading,
    UpstreamMinute,
    UpstreamSample,
    UpstreamWork,
    WorkAmounts,
    WorkRow,
)
from tidegauge.usecases.errors import BillError
from tidegauge.usecases.make_bill import told_costs
from tidegauge.usecases.time_range import TimeRange

SERVER, API = "10.0.0.7:8000", "api.example"
HALF_A_MINUTE = (2**600 - 1).to_bytes(150, "little")
ALWAYS = b"\xff" * 150
LINES: tuple[CostLine, ...] = ("served", "failed", "retry", "shadow")
MINUTES = 5
DOLLARS = 2 * 1.0 + 3 * 0.5
"""Two minutes at $60 an hour, and three at half of that."""
TOKEN_DOLLARS = 0.25


@pytest.fixture(scope="module")
def start_ms() -> int:
    return (time.time_ns() // 1_000_000 - 3_600_000) // MINUTE_MS * MINUTE_MS


@pytest.fixture
def config(tmp_path: Path, start_ms: int) -> Path:
    cheaper = datetime.fromtimestamp(start_ms / 1000 + 120, UTC).isoformat()
    file = tmp_path / "models.yaml"
    file.write_text(
        f"""
judges: [quality]
models:
  m:
    upstreams:
      - url: http://{SERVER}
        gpu_usd_per_hour:
          - {{usd: 60, kind: reserved}}
          - {{usd: 30, kind: spot, from: "{cheaper}"}}
      - {{url: "https://{API}", price: {{input: 1, output: 2}}}}
"""
    )
    return file


@pytest.fixture
def log(kafka: KafkaSettings, start_ms: int, monkeypatch: pytest.MonkeyPatch) -> KafkaSettings:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    work = WorkAmounts(requests=1, openings=1, prompt_tokens=100, output_tokens=9, decoding_ms=900)
    rows = tuple(WorkRow("m/v1//", "acme", line, work, "k1") for line in LINES)
    judged = WorkRow("m/v1//", "quality", "served", work)
    paid = WorkRow("m/v1//", "zeta", "served", WorkAmounts(requests=1, nanousd=250_000_000))
    minutes = (
        UpstreamMinute(SERVER, start_ms, HALF_A_MINUTE, HALF_A_MINUTE, rows),
        UpstreamMinute(SERVER, start_ms + 3 * MINUTE_MS, ALWAYS, ALWAYS, (judged,)),
        UpstreamMinute(API, start_ms, b"", b"", (paid,)),
    )
    event = UpstreamWork(producer_id="vitals/0", sequence=1, time_ms=start_ms, minutes=minutes)
    gpu = GpuReading(gpu="0", engine_active=0.5, tensor_active=0.25)
    sample = UpstreamSample(
        upstream=SERVER,
        time_ms=start_ms + 1_000,
        running=1.0,
        prompt_tokens=9_000.0,
        gpus=(gpu,),
        generated_tokens=0.0,
    )
    put(kafka, UPSTREAMS, [(start_ms, event), (start_ms, event), (start_ms + 1_000, sample)])
    return kafka


def _unpriced(config: Path) -> Path:
    file = config.with_name("unpriced.yaml")
    file.write_text(f"models: {{m: {{upstreams: [{{url: 'http://{SERVER}'}}]}}}}")
    return file


def run(config: Path, start_ms: int, *more: str) -> str:
    ends = [
        datetime.fromtimestamp(moment / 1000, UTC).isoformat()
        for moment in (start_ms, start_ms + MINUTES * MINUTE_MS)
    ]
    done = CliRunner().invoke(
        app, ["--from", ends[0], "--to", ends[1], "--config", str(config), *more]
    )
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.usefixtures("log")
def test_the_lines_are_those_of_the_invoice(config: Path, start_ms: int) -> None:
    rows = list(csv.DictReader(io.StringIO(run(config, start_ms, "--csv"))))
    assert sum(float(row["usd"] or 0) for row in rows) == pytest.approx(DOLLARS + TOKEN_DOLLARS)
    by_line: dict[str, float] = {}
    for row in rows:
        by_line[row["line"]] = by_line.get(row["line"], 0.0) + float(row["usd"] or 0)
    assert set(by_line) == {*LINES, "judge", "idle", "residual"}
    assert by_line["judge"] == pytest.approx(0.5)
    assert by_line["failed"] == by_line["retry"] == by_line["shadow"] == pytest.approx(0.125)
    assert by_line["idle"] == pytest.approx(0.5 + 1.0 + 0.5 + 0.5)
    assert by_line["residual"] == pytest.approx(0.0, abs=1e-9)


@pytest.mark.usefixtures("log")
def test_facts_and_tables_say_the_same(config: Path, start_ms: int) -> None:
    (facts,) = json.loads(run(config, start_ms, "--json"))
    assert facts["usd"] == pytest.approx(DOLLARS + TOKEN_DOLLARS)
    assert facts["use"][SERVER]["gpus"][0]["tensor_active"] == 0.25
    assert {one["name"] for one in facts["costs"]["customer"]} >= {"acme", "zeta", "quality"}
    assert any("came by no gateway" in note for note in facts["notes"])
    table = run(config, start_ms, "--by", "line", "--against", "10m")
    assert "$3.75" in table
    assert f"Time of {SERVER}: reserved 2 min for $2.00, spot 3 min for $1.50" in table
    assert "GPU 0: engines active 50%, tensor cores 25%" in " ".join(table.split())


def test_reports_say_it_in_sentences(log: KafkaSettings, config: Path, start_ms: int) -> None:
    said = told_costs(log, config, TimeRange(start_ms, start_ms + MINUTES * MINUTE_MS))
    assert said[0].startswith("Cost of all traffic: $3.75 for 6 requests; the servers were in use")
    assert said[-1].startswith(f"Use of {SERVER}: ")
    (unknown,) = told_costs(log, config.with_name("none.yaml"), TimeRange(start_ms, start_ms + 1))
    assert unknown.startswith("Cost: not known: ")


@pytest.mark.usefixtures("log")
def test_a_month_that_goes_on_is_billed_up_to_now(config: Path) -> None:
    command = ["--from", "-2h", "--to", "2999-01-01", "--config", str(config)]
    (facts,) = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    (server,) = facts["upstreams"]
    assert 0 <= server["seconds"] - 2 * 3_600 <= 60
    assert any("goes on to 2999" in note for note in facts["notes"])
    assert facts["forecast"]["until_ms"] < time.time_ns() // 1_000_000 + 32 * 86_400_000
    short = CliRunner().invoke(app, ["--from", "-30m", "--config", str(_unpriced(config))])
    assert ": not known, since the log has no whole hour of it" in " ".join(short.stdout.split())
    ahead = CliRunner().invoke(app, ["--from", "2998-01-01", "--to", "2999-01-01"])
    assert isinstance(ahead.exception, BillError)
    assert "has not begun" in str(ahead.exception)


def test_names_from_upstreams_do_nothing_to_a_terminal(
    kafka: KafkaSettings, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    start_ms = (time.time_ns() // 1_000_000 - 4 * 3_600_000) // MINUTE_MS * MINUTE_MS
    row = WorkRow("m/:boom:\x1b[31m//", "acme", "served", WorkAmounts(requests=1, without_usage=1))
    minute = UpstreamMinute(SERVER, start_ms, HALF_A_MINUTE, b"", (row,))
    event = UpstreamWork(producer_id="vitals/1", sequence=1, time_ms=start_ms, minutes=(minute,))
    put(kafka, UPSTREAMS, [(start_ms, event)])
    table = run(config, start_ms, "--by", "version")
    assert ":boom:" in table
    assert "\x1b" not in table
    assert "the tokens of 1 requests are not known" in " ".join(table.split())


def test_notes_do_nothing_to_a_terminal(
    kafka: KafkaSettings, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    start_ms = (time.time_ns() // 1_000_000 - 5 * 3_600_000) // MINUTE_MS * MINUTE_MS
    row = WorkRow("m///", "acme", "served", WorkAmounts(requests=1, without_usage=1))
    minute = UpstreamMinute("a\x1b[31m:1", start_ms, HALF_A_MINUTE, b"", (row,))
    event = UpstreamWork(producer_id="vitals/2", sequence=1, time_ms=start_ms, minutes=(minute,))
    put(kafka, UPSTREAMS, [(start_ms, event)])
    ends = [
        datetime.fromtimestamp(moment / 1000, UTC).isoformat()
        for moment in (start_ms, start_ms + MINUTES * MINUTE_MS)
    ]
    command = ["--from", ends[0], "--to", ends[1], "--config", str(config)]
    for more in ([], ["--csv"]):
        done = CliRunner().invoke(app, [*command, *more])
        assert done.exit_code == 0, done.output
        assert "[31m:1: the tokens of 1 requests are not known" in done.output
        assert "\x1b" not in (done.stderr if more else done.output)
