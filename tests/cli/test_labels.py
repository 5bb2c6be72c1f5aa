from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from tests.quality.test_agreement import judgment
from typer.testing import CliRunner

from tidegauge.cli.labels import app
from tidegauge.quality.errors import LabelFileError
from tidegauge.runtime.kafka import reader
from tidegauge.runtime.kafka.publisher import Publisher
from tidegauge.runtime.kafka.settings import KafkaSettings
from tidegauge.schemas import Segment, decode
from tidegauge.schemas.evaluations import JudgmentEvent, LabelEvent
from tidegauge.schemas.topics import JUDGMENTS, LABELS
from tidegauge.streaming.processor import Output
from tidegauge.usecases.compare_labels import log_comparison

RUNNER = CliRunner()


def test_a_dry_run_needs_no_broker(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("request_id,score\nr1,1\nr2,0\n")
    said = RUNNER.invoke(app, ["import", str(file), "--dry-run", "--json"])
    assert json.loads(said.output) == [{"labels": 2, "answers": 2, "imported": False}]


def test_a_bad_file_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"request_id": "r1", "score": 7}\n')
    said = RUNNER.invoke(app, ["import", str(file)])
    assert isinstance(said.exception, LabelFileError)
    assert "score is 7" in str(said.exception)
    missing = RUNNER.invoke(app, ["import", str(tmp_path / "nowhere.csv")])
    assert isinstance(missing.exception, LabelFileError)


@pytest.mark.timeout(120)
def test_labels_meet_judgments_over_the_broker(
    kafka: KafkaSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    model = f"labelled-{time.time_ns()}"
    outputs = []
    for number in range(30):
        plain = judgment(number, 0.8 if number % 3 else 0.2)
        event = JudgmentEvent(
            **{
                **{name: getattr(plain, name) for name in plain.__struct_fields__},
                "request_id": f"{model}-{number}",
                "segment": Segment(model=model),
            }
        )
        now_ms = time.time_ns() // 1_000_000
        outputs.append(Output(JUDGMENTS, event.request_id, event, "test", f"{number}", now_ms))
    with Publisher(kafka) as publisher:
        publisher.publish(outputs)
    file = tmp_path / "labels.jsonl"
    file.write_text(
        "".join(
            json.dumps({"request_id": f"{model}-{n}", "score": float(n % 3 > 0)}) + "\n"
            for n in range(12)
        )
    )
    for _ in range(2):
        said = RUNNER.invoke(app, ["import", str(file), "--annotator", "ann"])
        assert said.output == "12 labels of 12 answers imported\n", said.output
    sent = [decode(record.value, LabelEvent) for record in reader.read(kafka, LABELS)]
    assert sum(label.request_id.startswith(model) for label in sent) == 24
    (found,) = log_comparison(kafka, 0, model).judges
    assert (found.judged, found.labelled, found.area) == (30, 12, 1.0)
    shown = RUNNER.invoke(app, ["report", "--since", "1h", "--model", model])
    assert shown.exit_code == 0
    assert "by 12 labels, whose inclusion probabilities are estimated, alone: 200" in shown.output
    none = RUNNER.invoke(app, ["report", "--model", "nobody's"])
    assert "is the judge worker running?" in none.output
