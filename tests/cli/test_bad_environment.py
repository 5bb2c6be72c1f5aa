"""A bad variable ends every service and command with one line and status 2."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

STARTABLE = {
    "TIDEGAUGE_UPSTREAM_URL": "http://127.0.0.1:9",
    "TIDEGAUGE_GATEWAY_ANONYMOUS": "true",
}
BAD_VALUES = [
    ("gateway", "TIDEGAUGE_GATEWAY_PORT", "http"),
    ("gateway", "TIDEGAUGE_CAPTURE_QUOTA_BYTES", "much"),
    ("worker drift", "TIDEGAUGE_DRIFT_BACKEND", "abacus"),
    ("worker vitals", "TIDEGAUGE_VITALS_CUSTOMERS", "0"),
    ("worker vitals", "TIDEGAUGE_WINDOW_SECONDS", "0"),
    ("worker judge", "TIDEGAUGE_JUDGE_RUBRIC_RATE", "2"),
    ("monitor", "TIDEGAUGE_MONITOR_WORKERS", "drift"),
    ("monitor", "TIDEGAUGE_LOG_LEVEL", "loud"),
    ("up", "TIDEGAUGE_JUDGE_PORT", "many"),
    ("topics list", "TIDEGAUGE_KAFKA_SECURITY_PROTOCOL", "telnet"),
    ("baseline list", "TIDEGAUGE_KAFKA_TRANSACTIONS", "maybe"),
    ("outbox list", "TIDEGAUGE_CAPTURE_FSYNC", "sometimes"),
]


def run(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tidegauge.cli.main", *command.split()],
        env={**os.environ, **STARTABLE, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("command", "variable", "value"), BAD_VALUES)
def test_a_bad_value_is_one_line(command: str, variable: str, value: str) -> None:
    ended = run(command, {variable: value})
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"tidegauge: {variable} is {value!r}: it must ")
    assert "; change it, or unset it" in line
    assert ended.returncode == 2


@pytest.mark.parametrize(
    "command",
    ["gateway", "worker drift", "worker vitals", "worker judge", "monitor", "up", "topics list"],
)
def test_an_unknown_variable_is_one_line(command: str) -> None:
    ended = run(command, {"TIDEGAUGE_WINDOWS_SECONDS": "5"})
    (line,) = ended.stderr.splitlines()
    assert line.startswith("tidegauge: TIDEGAUGE_WINDOWS_SECONDS is no variable of tidegauge's")
    assert "did you mean TIDEGAUGE_WINDOW_SECONDS?" in line
    assert ended.returncode == 2
