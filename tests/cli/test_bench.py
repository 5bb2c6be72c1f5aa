from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegauge.cli.bench import app
from tidegauge.promise.errors import TrafficFileError


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
