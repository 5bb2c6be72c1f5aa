"""A gateway before the vLLM that the end-to-end tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tidegauge.gateway.policy import keys
from tidegauge.runtime.processes.deployment import free_port
from tidegauge.runtime.processes.supervisor import Service, Supervisor

MODEL = "assistant"
TOKENS = 8
"""Of an answer, at most: on two cores vLLM writes some twenty in a second."""
CONFIGURATION = """
models:
  assistant:
    upstreams:
      - url: {url}
        model: smollm2-135m
        overrides: {{max_tokens: {tokens}}}
        price: {{input: 0.15, output: 0.60}}
"""


@dataclass(frozen=True)
class RunningGateway:
    address: str
    admin: str
    key: str
    log: Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that end the shared vLLM last, so that it starts once."""
    items.sort(key=_ends_vllm)


def _ends_vllm(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    return "shared_vllm" in names and "vllm" not in names


@pytest.fixture(scope="module")
def gateway(vllm: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("gateway")
    key, record = keys.create(keys.Customer(name="acme", key_id=""), created="2026-01-01")
    keys.save(folder / "keys.json", [record])
    (folder / "gateway.yaml").write_text(CONFIGURATION.format(url=vllm, tokens=TOKENS))
    port, admin_port = free_port(), free_port()
    log = folder / "requests.jsonl"
    service = Service(
        name="gateway",
        command=(sys.executable, "-m", "tidegauge.cli.main", "gateway"),
        log=folder / "gateway.log",
        environment={
            **os.environ,
            "TIDEGAUGE_GATEWAY_PORT": str(port),
            "TIDEGAUGE_GATEWAY_ADMIN_PORT": str(admin_port),
            "TIDEGAUGE_GATEWAY_CONFIG": str(folder / "gateway.yaml"),
            "TIDEGAUGE_GATEWAY_KEYS_FILE": str(folder / "keys.json"),
            "TIDEGAUGE_GATEWAY_REQUEST_LOG": str(log),
            "TIDEGAUGE_CAPTURE_DIRECTORY": str(folder / "outbox"),
            "TIDEGAUGE_CAPTURE_DRAIN_SECONDS": "0.2",  # there is no broker to wait for
            # Nothing listens there: a broker that is down must not be noticed by a client.
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        },
        ready_url=f"http://127.0.0.1:{port}/readyz",
    )
    with Supervisor(print) as supervisor:
        supervisor.start(service)
        supervisor.wait_ready("gateway", seconds=60)
        yield RunningGateway(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}", key, log)
