from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from typer.testing import CliRunner

from tidegauge.cli.bench import app
from tidegauge.usecases.errors import EvaluationFileError
from tidegauge.usecases.measure_estimates import Verdicts, measure_estimates


def pairs(accuracy: float, count: int = 400) -> list[Verdicts]:
    """Pairs of which people prefer the first one in six of ten, and one judge's two verdicts."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(count):
        label: Literal[1, 2] = 1 if rng.random() < 0.6 else 2
        votes = [label if rng.random() < accuracy else 3 - label for _ in range(2)]
        found.append(Verdicts(label, {"judge": [str(vote) for vote in votes]}))
    return found


def test_labels_correct_a_judge_and_the_raw_one_is_wrong() -> None:
    found = measure_estimates(pairs(0.75), repeats=120, streams=20)
    assert [bar.name for bar in found.bars if not bar.met] == []
    rates = {(row.setting, row.method): row for row in found.intervals}
    raw, alone, powered = (
        rates["200 at random", method] for method in ("raw judge", "labels only", "PPI++")
    )
    assert (raw.coverage or 0) < 0.5
    assert (powered.width or 1) < 0.9 * (alone.width or 0)
    assert (rates["at every look", "plain"].coverage or 1) < 0.9


def test_a_judge_that_guesses_has_no_cross_check() -> None:
    found = measure_estimates(pairs(0.5), repeats=20, streams=10)
    refused = [row.refused for row in found.intervals if row.method == "Rogan-Gladen"]
    assert min(refused) > 0.7


def test_a_judge_has_to_judge_every_pair() -> None:
    with pytest.raises(EvaluationFileError, match="no judge has a verdict on every pair"):
        measure_estimates([Verdicts(1, {"a": ["1"]}), Verdicts(2, {"a": []})])


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_command(tmp_path: Path, form: list[str]) -> None:
    data = tmp_path / "verdicts.jsonl"
    rows = [{"label": each.label, "judges": dict(each.judges)} for each in pairs(0.8, 100)]
    rows[0]["judges"] = {"judge": ["1", None]}
    data.write_text("\n".join(map(json.dumps, rows)))
    options = ["--data", str(data), "--repeats", "20", "--streams", "10", *form]
    done = CliRunner().invoke(app, ["estimate", *options])
    assert "judge: PPI++, 200 at random" in done.output
