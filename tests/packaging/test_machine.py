"""Where an embedded part does not run, that is said before anything is installed."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

from tidegauge.demo.errors import MissingPartError
from tidegauge.demo.parts import check_machine

ROOT = Path(__file__).parents[2]
GIVEN = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "TIDEGAUGE_UPSTREAM_URL": "http://vllm:8000",
    "TIDEGAUGE_JUDGE_URL": "http://vllm:8000",
}


def _make_demo(
    folder: Path, *, system: str, given: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run the script as on another machine, by a uname of the test's own."""
    uname = folder / "uname"
    uname.write_text(f'#!/bin/sh\n[ "$1" = -s ] && echo {system} || echo arm64\n')
    uname.chmod(0o755)
    clean = {name: value for name, value in os.environ.items() if name not in GIVEN}
    return subprocess.run(
        ["sh", "infra/demo/machine.sh"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**clean, **given, "PATH": f"{folder}:{os.environ['PATH']}"},
    )


def test_every_missing_part_is_named_with_its_variable(tmp_path: Path) -> None:
    done = _make_demo(tmp_path, system="Darwin", given={})
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == len(GIVEN)
    for line, variable in zip(lines, GIVEN, strict=True):
        assert f"this is Darwin arm64: set {variable} to one of yours" in line


def test_parts_of_ones_own_replace_the_embedded_ones(tmp_path: Path) -> None:
    done = _make_demo(tmp_path, system="Darwin", given=GIVEN)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    with pytest.raises(MissingPartError, match="set TIDEGAUGE_JUDGE_URL to one of yours"):
        check_machine({**GIVEN, "TIDEGAUGE_JUDGE_URL": ""})
    check_machine(GIVEN)


def test_this_machine_is_asked_nothing_where_all_can_be_embedded() -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip("the embedded parts need Linux x86-64")
    check_machine({})
    done = subprocess.run(["sh", "infra/demo/machine.sh"], check=False, cwd=ROOT)
    assert done.returncode == 0
