from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegauge.cli.bench import app
from tidegauge.promise.errors import TrafficFileError
from tidegauge.usecases.errors import EvaluationFileError


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    conversations, arrivals = tmp_path / "conversations.jsonl", tmp_path / "arrivals.csv"
    conversations.write_text('{"turns": [["hello", "hi", null]]}\n{"turns": 1}\n')
    arrivals.write_text("")
    done = CliRunner().invoke(
        app, ["promise", "--conversations", str(conversations), "--arrivals", str(arrivals)]
    )
    with pytest.raises(TrafficFileError, match=r"conversations\.jsonl, line 2: "):
        raise done.exception or AssertionError


def test_both_files_are_asked_for() -> None:
    done = CliRunner().invoke(app, ["promise", "--quick"])
    assert done.exit_code == 2
    assert "--conversations" in done.output


def test_checks_are_measured_by_model_and_language(tmp_path: Path) -> None:
    rows = [
        {"model": "a", "language": "en", "answer": "I can't help with that.", "label": "refusal"},
        {"model": "a", "language": "en", "answer": "It is on the left.", "label": "compliance"},
        {"model": "a", "language": "de", "answer": "Vielleicht.", "label": "partial"},
    ]
    data = tmp_path / "answers.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    done = CliRunner().invoke(app, ["checks", "--data", str(data), "--json"])
    assert done.exit_code == 0
    (model,) = json.loads(done.output)[0]["models"]
    assert (model["recall"], model["false_positives"], model["partial"]) == (1.0, 0.0, 1)
    assert model["met"] is None
    assert "unmeasured" in CliRunner().invoke(app, ["checks", "--data", str(data)]).output


def test_a_missed_bar_ends_with_status_1(tmp_path: Path) -> None:
    refused = json.dumps({"answer": "I can't help with that.", "label": "compliance"})
    other = json.dumps({"answer": "It is on the left.", "label": "refusal"})
    data = tmp_path / "answers.jsonl"
    data.write_text("\n".join([refused, other] * 40))
    done = CliRunner().invoke(app, ["checks", "--data", str(data)])
    assert done.exit_code == 1
    assert "MISSED" in done.output


def test_a_line_without_a_label_is_named(tmp_path: Path) -> None:
    data = tmp_path / "answers.jsonl"
    data.write_text('{"answer": "Yes."}\n')
    done = CliRunner().invoke(app, ["checks", "--data", str(data)])
    with pytest.raises(EvaluationFileError, match=r"line 1: .*label"):
        raise done.exception or AssertionError


def test_grounding_is_measured_without_a_model(tmp_path: Path) -> None:
    context = "Ana Lima opened the shop in Porto in 1998 and sells tea."
    claims = [
        ("Ana Lima opened the shop in 1998.", True),
        ("The shop in Porto sells tea.", True),
        ("Ana Costa opened the shop in 1998.", False),
        ("The shop in Lisbon opened in 2003.", False),
    ]
    rows = [
        {"context": context, "claim": claim, "grounded": grounded} for claim, grounded in claims
    ]
    data = tmp_path / "pairs.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    done = CliRunner().invoke(app, ["grounding", "--data", str(data), "--no-model", "--json"])
    assert done.exit_code == 1  # word overlap tells them as well: that bar is missed
    (found,) = json.loads(done.stdout)
    assert (found["pairs"], found["grounded"], found["model"]) == (4, 2, None)
    assert found["auroc"]["support"] == 1
    assert found["intervals"]["support"] == [pytest.approx(0.158, abs=0.001), 1]
    assert [bar["met"] for bar in found["bars"]] == [True, False]
    assert (found["flagged"], found["flagged_wrongly"]) == (1, 0)


def test_pairs_of_one_label_are_refused(tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    data.write_text('{"context": "a", "claim": "b", "grounded": true}\n')
    done = CliRunner().invoke(app, ["grounding", "--data", str(data), "--no-model"])
    with pytest.raises(EvaluationFileError, match="are the same"):
        raise done.exception or AssertionError
