"""Costs with a real vLLM: its metrics are read, and its time is shared between two customers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import openai
import pytest

from tidegauge.gateway.policy import keys
from tidegauge.runtime.brokers import Broker
from tidegauge.runtime.processes.deployment import Ports

WAIT_SECONDS = 120.0
CONFIGURATION = """
models:
  assistant:
    upstreams:
      - {{url: "{url}", model: smollm2-135m, gpu_usd_per_hour: 3.6}}
"""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_a_real_server_is_asked_and_billed(vllm: str, broker: Broker, tmp_path: Path) -> None:
    ports = Ports.free()
    config = tmp_path / "models.yaml"
    config.write_text(CONFIGURATION.format(url=vllm))
    made = [keys.create(keys.Customer(name=name, key_id=""), created="now") for name in ("a", "b")]
    keys.save(tmp_path / "keys.json", [record for _, record in made])
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "TIDEGAUGE_GATEWAY_CONFIG": str(config),
        "TIDEGAUGE_GATEWAY_KEYS_FILE": str(tmp_path / "keys.json"),
        "TIDEGAUGE_GATEWAY_PORT": str(ports.gateway),
        "TIDEGAUGE_MONITOR_PORT": str(ports.monitor),
        "TIDEGAUGE_MONITOR_SCRAPE_SECONDS": "1",
        "TIDEGAUGE_CAPTURE_DIRECTORY": str(tmp_path / "outbox"),
    }
    commands = [["gateway"], ["worker", "vitals"], ["monitor"]]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tidegauge.cli.main", *command],
            env={**environment, "TIDEGAUGE_VITALS_PORT": str(ports.vitals)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in commands
    ]
    try:
        _wait(lambda: httpx.get(f"http://127.0.0.1:{ports.gateway}/readyz").is_success)
        for (key, _), words in zip(made, (10, 400), strict=True):
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{ports.gateway}/v1", api_key=key)
            for number in range(3):
                question = f"{number} " + "tide " * words
                client.chat.completions.create(
                    model="assistant",
                    messages=[{"role": "user", "content": question}],
                    max_tokens=8,
                )
        costs = _costs(f"http://127.0.0.1:{ports.monitor}/api/costs")
        (upstream,) = costs["upstreams"]
        assert upstream["sample"]["faults"] == []
        assert upstream["sample"]["kv_use"] is not None
        (bill,) = costs["bill"]
        hours = (costs["end_ms"] - costs["start_ms"]) / 3_600_000
        assert 24 <= hours < 25  # 24 whole hours, and the one under way
        assert bill["usd"] == pytest.approx(hours * 3.6)
        parts = bill["shares_usd"] + bill["idle_usd"] + bill["residual_usd"]
        assert parts == pytest.approx(bill["usd"])
        assert bill["shares_usd"] > 0
        usd = {group["name"]: group["usd"] for group in costs["costs"]["customer"]}
        assert usd["a"] + usd["b"] == pytest.approx(bill["shares_usd"])
        assert min(usd.values()) > 0
        told = subprocess.run(
            [sys.executable, "-m", "tidegauge.cli.main", "bill", "--from", "-1h", "--json"],
            env=environment,
            capture_output=True,
            check=True,
        )
        assert msgspec.json.decode(told.stdout)[0]["usd"] == pytest.approx(3.6)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(60)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            if condition():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _costs(address: str) -> dict[str, Any]:
    """Return the costs once both customers' work has been measured."""
    found: dict[str, Any] = {}

    def known() -> bool:
        answer = httpx.get(address)
        if not answer.is_success:
            return False
        found.update(answer.json())
        return len(found["costs"]["customer"]) == 2

    _wait(known)
    return found
