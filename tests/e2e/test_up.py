"""``tidegauge up``: all services start, those that are killed come back, and all of them end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import openai
import pytest

from tidegauge.runtime.brokers import Broker
from tidegauge.runtime.processes.deployment import Ports
from tidegauge.runtime.processes.process_tree import descendants, is_alive
from tidegauge.runtime.processes.supervisor import answers

BACK_SECONDS = 90.0
"""Within which a killed worker is ready again, on any machine; an idle one needs a tenth of it."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_up_serves_and_leaves_nothing_behind(vllm: str, broker: Broker, tmp_path: Path) -> None:
    ports = Ports.free()
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "TIDEGAUGE_UPSTREAM_URL": vllm,
        "TIDEGAUGE_JUDGE_URL": vllm,
        "TIDEGAUGE_JUDGE_GOLDEN_SET_QUESTIONS": "2",
        "TIDEGAUGE_JUDGE_RUBRIC_RETRY": "false",
        "TIDEGAUGE_GATEWAY_ANONYMOUS": "true",
        "TIDEGAUGE_GATEWAY_PORT": str(ports.gateway),
        "TIDEGAUGE_MONITOR_PORT": str(ports.monitor),
        "TIDEGAUGE_DRIFT_PORT": str(ports.drift),
        "TIDEGAUGE_VITALS_PORT": str(ports.vitals),
        "TIDEGAUGE_JUDGE_PORT": str(ports.judge),
        "TIDEGAUGE_CAPTURE_DIRECTORY": str(tmp_path / "outbox"),
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, "-m", "tidegauge.cli.main", "up", "--logs", str(tmp_path / "logs")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        said = []
        for line in up.stdout:
            said.append(line)
            if line.startswith("all is up"):
                break
        assert said[-1].startswith("all is up"), said
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{ports.gateway}/v1", api_key="none")
        answer = client.chat.completions.create(
            model="smollm2-135m",
            messages=[{"role": "user", "content": "Hello!"}],
            max_tokens=4,
        )
        assert answer.choices
        for words, port in (
            (("worker", "drift"), ports.drift),
            (("worker", "vitals"), ports.vitals),
            (("worker", "judge"), ports.judge),
            (("monitor",), ports.monitor),
        ):
            killed = _pid(up.pid, words)
            assert killed is not None, f"{words} does not run"
            os.kill(killed, signal.SIGKILL)
            began = time.monotonic()
            while _pid(up.pid, words) in {None, killed} or not answers(
                f"http://127.0.0.1:{port}/readyz"
            ):
                assert time.monotonic() - began < BACK_SECONDS, f"{words} did not come back"
                assert answers(f"http://127.0.0.1:{ports.gateway}/readyz")
                time.sleep(0.1)
            print(words, time.monotonic() - began)  # noqa: T201 - how long it took, with -s
        family = descendants(up.pid)
        assert len(family) >= 5
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 130
    deadline = time.monotonic() + 10
    while any(is_alive(member) for member in family):
        assert time.monotonic() < deadline, "a process was left behind"
        time.sleep(0.1)


def _pid(parent: int, words: tuple[str, ...]) -> int | None:
    """Return the id of the process that runs a command of tidegauge, if there is one."""
    for member in descendants(parent):
        try:
            command = Path(f"/proc/{member.pid}/cmdline").read_bytes().decode().split("\0")[1:-1]
        except OSError:  # it has ended meanwhile
            continue
        if command == ["-m", "tidegauge.cli.main", *words]:
            return member.pid
    return None
