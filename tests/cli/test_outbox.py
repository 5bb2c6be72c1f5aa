"""``tidegauge outbox`` tells what is waiting."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from tidegauge.capture import CaptureSettings, Recorder
from tidegauge.capture.status import RunStatus
from tidegauge.capture.testing import record_exchange
from tidegauge.cli.errors import NoOutboxError
from tidegauge.cli.outbox import app


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """A folder with one run that has ended, and two exchanges in it."""
    with Recorder(CaptureSettings(directory=tmp_path), ship=False) as recorder:
        record_exchange(recorder, "req-1")
        record_exchange(recorder, "req-2")
    return tmp_path


def test_runs_are_listed_for_machines(outbox: Path) -> None:
    with Recorder(CaptureSettings(directory=outbox, producer="z"), ship=False):
        done = CliRunner().invoke(app, ["list", "--json", "--directory", str(outbox)])
    assert done.exit_code == 0
    ended, alive = msgspec.json.decode(done.stdout, type=list[RunStatus])
    assert (ended.over, ended.served, ended.waiting) == (True, 2, 4)
    assert ended.captured == {"requests.v1": 2, "responses.v1": 2}
    assert ended.bytes == sum(path.stat().st_size for path in outbox.glob("gateway*/*.log"))
    assert (alive.over, alive.captured, alive.waiting) == (False, {}, 0)


def test_runs_are_listed_for_people(outbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_CAPTURE_DIRECTORY", str(outbox))
    monkeypatch.setenv("COLUMNS", "60")
    done = CliRunner().invoke(app, ["list"])
    assert done.exit_code == 0
    (run,) = (folder.name for folder in outbox.iterdir() if folder.is_dir())
    assert f"{run} (ended): 2 requests served; 4 events captured" in " ".join(done.stdout.split())
    assert f"1 runs in {outbox}" in done.stdout


def test_an_empty_outbox_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["list", "--directory", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path} is empty: no run\n")


def test_a_folder_that_is_not_there_is_not_called_empty(tmp_path: Path) -> None:
    with pytest.raises(NoOutboxError, match=f"no outbox at {tmp_path}/none: name the folder"):
        CliRunner().invoke(
            app, ["list", "--directory", str(tmp_path / "none")], catch_exceptions=False
        )


def test_with_nothing_left_shipping_ends_at_once(tmp_path: Path) -> None:
    program = "from tidegauge.cli.outbox import app; app(['ship'])"
    environment = {**os.environ, "TIDEGAUGE_CAPTURE_DIRECTORY": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == 0
