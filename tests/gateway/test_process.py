"""The gateway as a process: it starts, reloads on SIGHUP, stops on SIGTERM, or says why not."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tidegauge.capture.exchange_record import BOTH
from tidegauge.capture.outbox_reader import OutboxReader
from tidegauge.capture.runs import NOWHERE, list_runs
from tidegauge.capture.settings import CaptureSettings
from tidegauge.gateway.checking_shipper import expand_formats
from tidegauge.runtime.brokers.process import free_port

EXPAND = expand_formats(CaptureSettings())[BOTH.type]
COMMAND = [sys.executable, "-c", "from tidegauge.cli.main import main; main()", "gateway"]
WAIT_SECONDS = 30.0
CLIENTS = 16
ANSWERS = 300


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _get(url: str) -> httpx.Response | None:
    try:
        return httpx.get(url, timeout=2)
    except httpx.TransportError:
        return None


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "models.yaml"
    config.write_text("models: {one: {upstreams: [{url: 'http://127.0.0.1:9'}]}}")
    return {
        **{name: value for name, value in os.environ.items() if "TIDEGAUGE" not in name},
        "TIDEGAUGE_GATEWAY_PORT": str(port),
        "TIDEGAUGE_GATEWAY_ADMIN_PORT": str(free_port()),
        "TIDEGAUGE_GATEWAY_CONFIG": str(config),
        "TIDEGAUGE_GATEWAY_ANONYMOUS": "true",
        "TIDEGAUGE_CAPTURE_DIRECTORY": str(tmp_path / "outbox"),
        "TIDEGAUGE_CAPTURE_DRAIN_SECONDS": "0.5",
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9",
    }


@pytest.fixture
def process(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (
        (tmp_path / "stdout").open("wb") as out,
        (tmp_path / "stderr").open("wb") as err,
        subprocess.Popen(COMMAND, env=environment, stdout=out, stderr=err) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_a_life(
    process: subprocess.Popen[bytes], environment: dict[str, str], tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{environment['TIDEGAUGE_GATEWAY_PORT']}"
    wait_for(lambda: _get(f"{url}/readyz") is not None)
    failed = httpx.post(f"{url}/v1/chat/completions", json={"model": "one", "messages": []})
    assert failed.status_code == 502
    admin = f"http://127.0.0.1:{environment['TIDEGAUGE_GATEWAY_ADMIN_PORT']}"
    assert [httpx.get(f"{each}/metrics").status_code for each in (url, admin)] == [401, 200]
    Path(environment["TIDEGAUGE_GATEWAY_CONFIG"]).write_text(
        "models: {two: {upstreams: [{url: 'http://127.0.0.1:9'}]}}"
    )
    process.send_signal(signal.SIGHUP)

    def reloaded() -> bool:
        response = _get(f"{url}/v1/models")
        return response is not None and response.json()["data"][0]["id"] == "two"

    wait_for(reloaded)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_SECONDS) == 0
    lines = (tmp_path / "stdout").read_text().splitlines()
    assert len(lines) == 1
    assert '"error":"upstream_unreachable"' in lines[0]
    assert (tmp_path / "stderr").read_text().count('"reloaded"') == 1


async def test_answers_that_clients_have_outlive_a_kill(
    process: subprocess.Popen[bytes], environment: dict[str, str], tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{environment['TIDEGAUGE_GATEWAY_PORT']}"
    wait_for(lambda: _get(f"{url}/readyz") is not None)
    answered: list[str] = []

    async def ask(client: httpx.AsyncClient) -> None:
        with suppress(httpx.TransportError):
            while True:
                body = {"model": "one", "messages": []}
                response = await client.post(f"{url}/v1/chat/completions", json=body)
                answered.append(response.headers["x-request-id"])
                if len(answered) == ANSWERS:
                    process.kill()

    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        await asyncio.gather(*(ask(client) for _ in range(CLIENTS)))
    process.wait(WAIT_SECONDS)
    (run,) = list_runs(tmp_path / "outbox")
    entries = OutboxReader(run, NOWHERE.place, 0).read(1 << 30, over=True)
    assert len(answered) >= ANSWERS
    records = [record for entry in entries for record in EXPAND.decode(entry.frame.value)]
    assert set(answered) <= {record.request_id for record in records}


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("TIDEGAUGE_GATEWAY_ANONYMOUS", "", "tidegauge keys create"),
        ("TIDEGAUGE_GATEWAY_CONFIG", "/nowhere.yaml", "/nowhere.yaml"),
    ],
)
def test_what_is_wrong_is_one_line(
    environment: dict[str, str], name: str, value: str, hint: str
) -> None:
    ended = subprocess.run(
        COMMAND,
        env=environment | {name: value},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert ended.returncode == 2
    assert hint in ended.stderr
    assert "Traceback" not in ended.stderr
